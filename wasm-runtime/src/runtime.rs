//! The contract: sandboxes and containers by id.

mod launch;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::time::timeout;
use wherry_runtime_api::disk::DiskUsage;
use wherry_runtime_api::{
    ContainerId, ContainerSpec, ContainerState, ContainerStatus, ExecSpec, Execution, ImageContent,
    Resources, Runtime, RuntimeError, RuntimeEvent, SandboxId, SandboxSpec, Usage,
};

use crate::capabilities::Missing;
use crate::code_cache::{CodeCache, private_directory};
use crate::config::{Clock, Config, Limits, Output};
use crate::container::{Container, Exit};
use crate::engine::Machine;
use crate::executor::Executor;
use crate::images::Images;
use crate::interfaces::stores::Stores;
use crate::memory::LimitExceeded;
use crate::names::Names;
use crate::paths::Paths;
use crate::pod_limits::AllLimits;
use crate::servers::Servers;
use crate::settings::Settings;
use crate::{attach, exec};

/// Events kept for a receiver that lags.
const EVENTS: usize = 1024;

/// Runs WebAssembly as containers; see the crate's documentation.
pub struct WasmRuntime {
    machine: Arc<Machine>,
    images: Images,
    clock: Clock,
    limits: Limits,
    names: Arc<dyn Names>,
    paths: Arc<dyn Paths>,
    servers: Arc<Servers>,
    node_addresses: Arc<[IpAddr]>,
    output: Output,
    core_dump: Option<PathBuf>,
    staging: PathBuf,
    containers: Mutex<BTreeMap<ContainerId, Arc<Container>>>,
    /// Executors of sandboxes that have a network namespace.
    namespaces: tokio::sync::Mutex<HashMap<SandboxId, Executor>>,
    executor: Executor,
    limits_of_pods: AllLimits,
    /// What is kept for `wasi:keyvalue` and `wasi:blobstore`.
    stores: Stores,
    events: broadcast::Sender<RuntimeEvent>,
}

/// What a runtime has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Images compiled; those found compiled on disk are not counted.
    pub images_compiled: u64,
    /// Instances that can still be made at this moment.
    pub free_instances: usize,
    /// Of those that cannot, how many wait for a request.
    pub kept_instances: usize,
}

impl WasmRuntime {
    /// Makes the engine and its threads. No containers exist yet, whatever earlier processes ran.
    pub fn new(config: Config) -> Result<Self, RuntimeError> {
        let Config {
            data_dir,
            clock,
            limits,
            names,
            paths,
            listening,
            node_addresses,
            output,
            core_dump,
            compiles,
            imported,
            redis,
        } = config;
        let io = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| RuntimeError::Io { action, path, source }
        };
        private_directory(&data_dir).map_err(io("create directory", &data_dir))?;
        let machine = Arc::new(Machine::new(limits.instances).map_err(|error| unavailable(&error))?);
        let cache = CodeCache::open(&data_dir, &machine.engine, imported.as_deref())
            .map_err(io("open the code cache in", &data_dir))?;
        let staging = data_dir.join("mounts");
        remove_directory(&staging)?;
        let executor = Executor::of_node().map_err(|error| unavailable(&error))?;
        Ok(Self {
            images: Images::new(Arc::clone(&machine), cache, compiles.then_some(limits.image_bytes)),
            stores: Stores::new(limits.keyvalue_bytes, redis, executor.handle()),
            executor,
            containers: Mutex::default(),
            namespaces: tokio::sync::Mutex::default(),
            limits_of_pods: AllLimits::new(Arc::clone(&machine.turns)),
            events: broadcast::Sender::new(EVENTS),
            names,
            paths,
            servers: listening.0,
            node_addresses: node_addresses.into(),
            output,
            core_dump,
            machine,
            clock,
            limits,
            staging,
        })
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            images_compiled: self.images.compiled(),
            free_instances: self.machine.slots.available_permits(),
            kept_instances: self.machine.kept_instances(),
        }
    }

    fn container(&self, id: &ContainerId) -> Result<Arc<Container>, RuntimeError> {
        let containers = self.containers.lock();
        containers.get(id).cloned().ok_or_else(|| RuntimeError::NotFound(id.clone()))
    }

    /// The threads a sandbox's containers run on.
    async fn executor(&self, sandbox: &SandboxSpec) -> Result<Executor, RuntimeError> {
        let Some(netns) = &sandbox.netns else { return Ok(self.executor.clone()) };
        let mut namespaces = self.namespaces.lock().await;
        if let Some(executor) = namespaces.get(&sandbox.id) {
            return Ok(executor.clone());
        }
        let executor = Executor::in_namespace(netns).map_err(|source| RuntimeError::Io {
            action: "enter the network namespace",
            path: netns.clone(),
            source,
        })?;
        namespaces.insert(sandbox.id.clone(), executor.clone());
        Ok(executor)
    }

    fn staging(&self, id: &ContainerId) -> PathBuf {
        self.staging.join(id.to_string())
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        let not_starting = container.starting.lock().await;
        if matches!(container.state(), ContainerState::Running { .. }) {
            container.signals.kill();
            container.signals.ended.cancelled().await;
        }
        self.containers.lock().remove(id);
        remove_directory(&self.staging(id))?;
        let digest = container.status().image_digest;
        drop(not_starting);
        drop(container);
        self.images.unload_unused(&digest);
        Ok(())
    }
}

#[async_trait]
impl Runtime for WasmRuntime {
    fn handler(&self) -> &'static str {
        "wasmtime"
    }

    async fn ready(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn prepare_image(&self, image: &ImageContent) -> Result<(), RuntimeError> {
        self.images.program(image).await.map(|_| ())
    }

    async fn imports(&self, image: &ImageContent) -> Result<Vec<String>, RuntimeError> {
        Ok(self.images.program(image).await?.imports.clone())
    }

    async fn forget_image(&self, digest: &str) -> Result<(), RuntimeError> {
        self.images.forget(digest)
    }

    async fn ensure_group(&self, _: &str, _: &Resources) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn ensure_sandbox(&self, sandbox: &SandboxSpec) -> Result<(), RuntimeError> {
        self.executor(sandbox).await?;
        self.limits_of_pods.set(sandbox).map_err(memory_refused)
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let ids: Vec<_> = id.among(&self.containers.lock()).map(|(id, _)| id.clone()).collect();
        for container in &ids {
            self.remove_container(container).await?;
        }
        self.namespaces.lock().await.remove(id);
        self.limits_of_pods.remove(id);
        self.stores.remove(id);
        Ok(())
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let refused = |reason| RuntimeError::InvalidSpec { id: spec.id.clone(), reason };
        let settings = Settings::read(&spec.annotations).map_err(|error| refused(error.to_string()))?;
        let program = self.images.program(&spec.image).await?;
        let id = || spec.id.clone();
        let lacking = |missing: Missing| RuntimeError::NotGranted { id: id(), reason: missing.to_string() };
        settings.capabilities.check(&program.imports).map_err(lacking)?;
        let mut containers = self.containers.lock();
        match containers.get(&spec.id) {
            Some(existing) if existing.spec == *spec => {}
            Some(_) => {
                return Err(refused(
                    "it exists already with another specification; remove it first".to_owned(),
                ));
            }
            None => {
                let limits = self.limits_of_pods.of(&spec.sandbox);
                let container = Container::new(spec.clone(), program, settings, &limits);
                containers.insert(spec.id.clone(), Arc::new(container));
            }
        }
        Ok(())
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let container = self.container(id)?;
        let _one = container.starting.lock().await;
        match container.state() {
            ContainerState::Created => {}
            ContainerState::Running { .. } | ContainerState::Exited { started_at: Some(_), .. } => {
                return Ok(());
            }
            ContainerState::Exited { started_at: None, message, .. } => {
                return Err(RuntimeError::Failed { step: "start".into(), reason: message });
            }
        }
        let launched = self.launch(&container).await;
        if let Err(error) = &launched {
            container.end((self.clock)(), Exit::not_started(explain(error)));
        }
        launched
    }

    /// Processors and memory may become more or less at once; a server goes on with as many requests at a time as it began with.
    async fn update(&self, id: &ContainerId, limits: &Resources) -> Result<(), RuntimeError> {
        let container = self.container(id)?;
        if !matches!(container.state(), ContainerState::Running { .. }) {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        container.memory.set(limits.memory_limit_bytes).map_err(memory_refused)?;
        container.processor.set(limits);
        Ok(())
    }

    /// Nothing: it has no files but those of its mounts.
    async fn disk_usage(&self, id: &ContainerId) -> Result<DiskUsage, RuntimeError> {
        self.container(id).map(|_| DiskUsage::default())
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError> {
        let container = self.container(id)?;
        let memory = container.memory.used();
        let cpu_nanos = container.processor.nanos();
        Ok(Usage { cpu_nanos, memory, working_set: memory, anonymous: memory, ..Usage::default() })
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let container = self.container(id)?;
        {
            let _not_starting = container.starting.lock().await;
            if container.state() == ContainerState::Created {
                container.end((self.clock)(), Exit::never_started());
            }
        }
        container.signals.stop();
        if timeout(grace, container.signals.ended.cancelled()).await.is_err() {
            container.signals.kill();
            container.signals.ended.cancelled().await;
        }
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.remove_container(id).await
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Execution, RuntimeError> {
        let container = self.container(id)?;
        let environment = container.environment().ok_or_else(|| RuntimeError::NotRunning(id.clone()))?;
        let executor = self.executor(&container.spec.sandbox).await?;
        exec::exec(&self.machine, &container, environment, &executor, spec)
    }

    async fn attach(&self, id: &ContainerId, stdin: bool) -> Result<Execution, RuntimeError> {
        let container = self.container(id)?;
        let environment = container.environment().ok_or_else(|| RuntimeError::NotRunning(id.clone()))?;
        let ended = container.signals.ended.clone();
        Ok(attach::join(&environment.doors, environment.log.followers(), stdin, ended))
    }

    async fn list(&self) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(self.containers.lock().values().map(|container| container.status()).collect())
    }

    async fn list_of(&self, sandbox: &SandboxId) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(sandbox.among(&self.containers.lock()).map(|(_, container)| container.status()).collect())
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}

fn memory_refused(error: LimitExceeded) -> RuntimeError {
    RuntimeError::Failed { step: "changing the memory limit".to_owned(), reason: error.to_string() }
}

fn unavailable(error: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Unavailable { handler: "wasmtime", reason: format!("{error:#}") }
}

fn remove_directory(path: &Path) -> Result<(), RuntimeError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RuntimeError::Io { action: "remove directory", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// The error and its cause in one sentence, for the container's status.
fn explain(error: &RuntimeError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
