//! A runtime and a network that keep their contracts and run nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use wherry_api::clock::Clock;
use wherry_runtime_api::disk::DiskUsage;
use wherry_runtime_api::{
    ContainerId, ContainerSpec, ContainerState, ContainerStatus, ExecSpec, Execution, ExitReason,
    ImageContent, Resources, Runtime, RuntimeError, RuntimeEvent, SandboxId, SandboxSpec, Usage,
};

use crate::network::{NetworkError, PodAddress, PodNetwork};
use crate::runtimes::Runtimes;

/// Time that passes as tokio's does, so that it stands still in a test that is paused.
pub(crate) struct TestClock(tokio::time::Instant);

impl TestClock {
    /// A clock that begins at 2026-01-01.
    pub(crate) fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        start + self.0.elapsed()
    }
}

/// A runtime whose containers run until they are told to end.
pub(crate) struct FakeRuntime {
    handler: &'static str,
    clock: Mutex<Arc<dyn Clock>>,
    containers: Mutex<BTreeMap<ContainerId, ContainerStatus>>,
    specs: Mutex<Vec<ContainerSpec>>,
    /// The limits of groups, by path.
    groups: Mutex<BTreeMap<String, Resources>>,
    /// The limits that containers were given while they ran.
    updates: Mutex<Vec<(ContainerId, Resources)>>,
    /// What the next starts and updates answer, by container name.
    failures: Mutex<BTreeMap<String, String>>,
    /// What commands write and how they end, by their words; others never end.
    commands: Mutex<BTreeMap<String, (String, i32)>>,
    /// Every command that was run, with its container's name.
    executed: Mutex<Vec<String>>,
    /// The time the last stop gave its container.
    grace: Mutex<Option<Duration>>,
    unavailable: Mutex<Option<String>>,
    /// What each container takes of the disk.
    disk_usage: Mutex<u64>,
    /// What containers take of the memory, by their names.
    memory: Mutex<BTreeMap<String, u64>>,
    events: broadcast::Sender<RuntimeEvent>,
}

impl FakeRuntime {
    fn new(handler: &'static str) -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(wherry_api::clock::SystemClock);
        Arc::new(Self {
            handler,
            clock: Mutex::new(clock),
            containers: Mutex::default(),
            specs: Mutex::default(),
            groups: Mutex::default(),
            updates: Mutex::default(),
            failures: Mutex::default(),
            commands: Mutex::default(),
            executed: Mutex::default(),
            grace: Mutex::default(),
            unavailable: Mutex::default(),
            disk_usage: Mutex::default(),
            memory: Mutex::default(),
            events: broadcast::Sender::new(64),
        })
    }

    /// Uses this clock.
    pub(crate) fn use_clock(&self, clock: Arc<dyn Clock>) {
        *self.clock.lock() = clock;
    }

    /// Pretends these containers exist, and no others.
    pub(crate) fn set(&self, containers: Vec<ContainerStatus>) {
        *self.containers.lock() = containers.into_iter().map(|status| (status.id.clone(), status)).collect();
    }

    /// The specs of all containers created so far.
    pub(crate) fn created(&self) -> Vec<ContainerSpec> {
        self.specs.lock().clone()
    }

    /// The limits of the group.
    pub(crate) fn group(&self, path: &str) -> Option<Resources> {
        self.groups.lock().get(path).copied()
    }

    /// The limits that containers were given while they ran, oldest first.
    pub(crate) fn updates(&self) -> Vec<(ContainerId, Resources)> {
        self.updates.lock().clone()
    }

    /// The containers there are.
    pub(crate) fn existing(&self) -> Vec<ContainerStatus> {
        self.containers.lock().values().cloned().collect()
    }

    /// Makes starts and updates of the container fail with this reason, or succeed again.
    pub(crate) fn fail_starts(&self, name: &str, reason: Option<&str>) {
        let mut failures = self.failures.lock();
        match reason {
            Some(reason) => failures.insert(name.to_owned(), reason.to_owned()),
            None => failures.remove(name),
        };
    }

    /// Makes a command write this and end with this code from now on.
    pub(crate) fn answer(&self, command: &str, output: &str, code: i32) {
        self.commands.lock().insert(command.to_owned(), (output.to_owned(), code));
    }

    /// The commands that were run so far, each behind its container's name.
    pub(crate) fn executed(&self) -> Vec<String> {
        self.executed.lock().clone()
    }

    /// How long the container that was stopped last could take.
    pub(crate) fn grace(&self) -> Option<Duration> {
        *self.grace.lock()
    }

    /// Containers of this name take so much memory from now on.
    pub(crate) fn take_memory(&self, container: &str, bytes: u64) {
        self.memory.lock().insert(container.to_owned(), bytes);
    }

    /// Has each container take this much of the disk.
    pub(crate) fn take_disk(&self, bytes: u64) {
        *self.disk_usage.lock() = bytes;
    }

    /// Makes the runtime unavailable for this reason.
    pub(crate) fn make_unavailable(&self, reason: &str) {
        *self.unavailable.lock() = Some(reason.to_owned());
    }

    /// Ends the newest attempt at the container, as its program would.
    pub(crate) fn exit(&self, name: &str, code: i32) {
        let finished_at = self.clock.lock().now();
        let mut containers = self.containers.lock();
        let (id, status) = containers.iter_mut().rfind(|(id, _)| id.name == name).unwrap();
        end(status, finished_at, code);
        let _nobody_listens = self.events.send(RuntimeEvent { id: id.clone() });
    }
}

fn end(status: &mut ContainerStatus, finished_at: Timestamp, code: i32) {
    let started_at = match status.state {
        ContainerState::Running { started_at } => Some(started_at),
        ContainerState::Created => None,
        ContainerState::Exited { .. } => return,
    };
    let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
    status.state = ContainerState::Exited { started_at, finished_at, code, reason, message: String::new() };
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn handler(&self) -> &'static str {
        self.handler
    }

    async fn ready(&self) -> Result<(), RuntimeError> {
        match self.unavailable.lock().clone() {
            Some(reason) => Err(RuntimeError::Unavailable { handler: self.handler, reason }),
            None => Ok(()),
        }
    }

    async fn prepare_image(&self, _: &ImageContent) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn forget_image(&self, _: &str) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn ensure_group(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
        self.groups.lock().insert(path.to_owned(), *limits);
        Ok(())
    }

    async fn ensure_sandbox(&self, sandbox: &SandboxSpec) -> Result<(), RuntimeError> {
        self.ensure_group(&sandbox.cgroup_parent, &sandbox.resources).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        self.containers.lock().retain(|container, _| container.sandbox != *id);
        Ok(())
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let mut containers = self.containers.lock();
        if !containers.contains_key(&spec.id) {
            let state = ContainerState::Created;
            let status =
                ContainerStatus { id: spec.id.clone(), state, image_digest: String::new(), user: None };
            containers.insert(spec.id.clone(), status);
            self.specs.lock().push(spec.clone());
        }
        Ok(())
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        if let Some(reason) = self.failures.lock().get(&id.name).cloned() {
            return Err(RuntimeError::Failed { step: "start".to_owned(), reason });
        }
        let started_at = self.clock.lock().now();
        let mut containers = self.containers.lock();
        let status = containers.get_mut(id).ok_or_else(|| RuntimeError::NotFound(id.clone()))?;
        if status.state == ContainerState::Created {
            status.state = ContainerState::Running { started_at };
        }
        Ok(())
    }

    async fn update(&self, id: &ContainerId, limits: &Resources) -> Result<(), RuntimeError> {
        if let Some(reason) = self.failures.lock().get(&id.name).cloned() {
            return Err(RuntimeError::Failed { step: "update".to_owned(), reason });
        }
        self.updates.lock().push((id.clone(), *limits));
        Ok(())
    }

    async fn disk_usage(&self, _: &ContainerId) -> Result<DiskUsage, RuntimeError> {
        Ok(DiskUsage { bytes: *self.disk_usage.lock(), inodes: 1 })
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError> {
        let memory = self.memory.lock().get(&id.name).copied().unwrap_or_default();
        Ok(Usage { memory, working_set: memory, ..Usage::default() })
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        *self.grace.lock() = Some(grace);
        let finished_at = self.clock.lock().now();
        if let Some(status) = self.containers.lock().get_mut(id) {
            end(status, finished_at, 143);
        }
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.containers.lock().remove(id);
        Ok(())
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Execution, RuntimeError> {
        let words = spec.command.join(" ");
        self.executed.lock().push(format!("{}: {words}", id.name));
        if words.starts_with("no-such") {
            return Err(RuntimeError::Failed { step: "exec".to_owned(), reason: "not found".to_owned() });
        }
        let answer = self.commands.lock().get(&words).cloned();
        let output = answer.as_ref().map(|(output, _)| output.clone()).unwrap_or_default();
        Ok(Execution {
            stdin: None,
            stdout: Box::new(std::io::Cursor::new(output.into_bytes())),
            stderr: Some(Box::new(tokio::io::empty())),
            terminal: None,
            ended: Box::pin(async move {
                match answer {
                    Some((_, code)) => Ok(code),
                    None => std::future::pending().await,
                }
            }),
        })
    }

    async fn attach(&self, _: &ContainerId, _: bool) -> Result<Execution, RuntimeError> {
        Err(RuntimeError::Unsupported { handler: self.handler, what: "attach" })
    }

    async fn list(&self) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(self.existing())
    }

    async fn list_of(&self, sandbox: &SandboxId) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(sandbox.among(&self.containers.lock()).map(|(_, status)| status.clone()).collect())
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}

/// Both runtimes faked: joined, wasmtime, runc.
pub(crate) fn runtimes() -> (Runtimes, Arc<FakeRuntime>, Arc<FakeRuntime>) {
    let (wasmtime, runc) = (FakeRuntime::new("wasmtime"), FakeRuntime::new("runc"));
    (Runtimes::new(wasmtime.clone(), runc.clone()), wasmtime, runc)
}

/// Gives every pod a loopback address.
#[derive(Default)]
pub(crate) struct FakeNetwork(Mutex<BTreeMap<String, PodAddress>>);

#[async_trait]
impl PodNetwork for FakeNetwork {
    async fn attach(&self, pod_uid: &str, needs_netns: bool) -> Result<PodAddress, NetworkError> {
        let mut pods = self.0.lock();
        let next = u8::try_from(pods.len() + 1).unwrap();
        let ip = IpAddr::V4(Ipv4Addr::new(127, 244, 0, next));
        let netns = needs_netns.then(|| PathBuf::from("/run/netns/test"));
        Ok(pods.entry(pod_uid.to_owned()).or_insert(PodAddress { ip, ip6: None, netns }).clone())
    }

    async fn attach_made(&self, pod_uid: &str, _: &Path) -> Result<PodAddress, NetworkError> {
        self.attach(pod_uid, true).await
    }

    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError> {
        self.0.lock().remove(pod_uid);
        Ok(())
    }

    fn namespace(&self, pod_uid: &str) -> Option<PathBuf> {
        self.0.lock().get(pod_uid)?.netns.clone()
    }

    async fn known(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }
}
