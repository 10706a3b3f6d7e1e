//! Plans and statuses as tables, and whole workers in simulated time.

mod planning;
mod reporting;
mod simulation;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use wherry_runtime_api::{
    ContainerId, ContainerState, ContainerStatus, DnsConfig, ExitReason, ImageContent, NodeNamespaces,
    Resources, SandboxId, SandboxSpec,
};

use super::backoff::LONGEST;
use super::memory::{Memory, PodNetworking, PreparedImage, Step};
use super::plan::{Action, NodeFacts, Plan, World, plan};
use crate::containers::Running;
use crate::runtimes::Handler;
use crate::volumes::Volumes;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

/// A pod with these fields in its spec.
fn pod_with(spec: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "u-1", "generation": 1 },
        "spec": spec,
    }))
    .unwrap()
}

/// A pod of one container `main`.
fn pod() -> Pod {
    pod_with(json!({ "containers": [{ "name": "main", "image": "app:v1" }] }))
}

fn id(name: &str, attempt: u32) -> ContainerId {
    ContainerId { sandbox: SandboxId("u-1".to_owned()), name: name.to_owned(), attempt }
}

fn container(name: &str, attempt: u32, state: ContainerState) -> Running {
    let status = ContainerStatus { id: id(name, attempt), state, image_digest: String::new(), user: None };
    Running { handler: Handler::Wasmtime, status }
}

fn running(name: &str, attempt: u32) -> Running {
    container(name, attempt, ContainerState::Running { started_at: at(0) })
}

fn exited(name: &str, attempt: u32, code: i32, finished: i64) -> Running {
    let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
    let state = ContainerState::Exited {
        started_at: Some(at(0)),
        finished_at: at(finished),
        code,
        reason,
        message: String::new(),
    };
    container(name, attempt, state)
}

fn image(handler: Handler) -> Arc<PreparedImage> {
    let (digest, path) = ("sha256:d".to_owned(), PathBuf::from("/blob"));
    let content = match handler {
        Handler::Wasmtime => ImageContent::Wasm { digest, path, entrypoint: vec![], env: vec![] },
        Handler::Runc => ImageContent::Oci { digest, config: path, layers: vec![] },
    };
    let image_id = "r/app@sha256:d".to_owned();
    Arc::new(PreparedImage { content, handler, program: None, image_id, default_args: vec![] })
}

/// A world that is described step by step.
struct Scene {
    pod: Pod,
    gone: bool,
    containers: Vec<Running>,
    memory: Memory,
    node: NodeFacts,
    now: i64,
}

impl Scene {
    /// Nothing has been done yet.
    fn new(pod: Pod) -> Self {
        let node = NodeFacts {
            host_ips: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
            has_namespaces: true,
            admission: Arc::default(),
            endpoint_drain: Duration::from_millis(300),
        };
        Self { memory: Memory::recall(&pod, at(0)), pod, gone: false, containers: vec![], node, now: 0 }
    }

    /// Volumes, network and the images of all containers are there.
    fn prepared(pod: Pod) -> Self {
        let mut scene = Self::new(pod);
        scene.memory.volumes = Step::Done(Arc::new(Volumes::default()));
        let ip = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 5));
        let sandbox = SandboxSpec {
            id: SandboxId("u-1".to_owned()),
            namespace: "default".into(),
            hostname: "web".to_owned(),
            ip,
            ip6: None,
            netns: None,
            dns: DnsConfig::default(),
            cgroup_parent: String::new(),
            resources: Resources::default(),
            huge_pages: BTreeMap::new(),
            node_namespaces: NodeNamespaces::default(),
            shares_processes: false,
            sysctls: BTreeMap::new(),
            users: None,
        };
        scene.memory.network = Step::Done(PodNetworking { ip, fqdn: None, sandbox });
        for name in scene.names() {
            scene.image_ready(&name, 0);
        }
        scene
    }

    fn names(&self) -> Vec<String> {
        let spec = self.pod.spec.as_ref().unwrap();
        spec.init_containers.iter().flatten().chain(&spec.containers).map(|c| c.name.clone()).collect()
    }

    fn image_ready(&mut self, name: &str, attempt: u32) {
        let memory = self.memory.container(name);
        memory.image_attempt = attempt;
        memory.image = Step::Done(image(Handler::Wasmtime));
        memory.image_id = "r/app@sha256:d".to_owned();
    }

    fn with(mut self, containers: Vec<Running>) -> Self {
        for running in &containers {
            let id = &running.status.id;
            let memory = self.memory.container(&id.name);
            (memory.launch_attempt, memory.launch) = (id.attempt, Step::Done(()));
        }
        self.containers = containers;
        self
    }

    fn at(mut self, now: i64) -> Self {
        self.now = now;
        self
    }

    fn deleted(mut self, grace: i64) -> Self {
        let meta = &mut self.pod.metadata;
        meta.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        meta.deletion_grace_period_seconds = Some(grace);
        self
    }

    fn plan(&self) -> Plan {
        plan(&World {
            pod: &self.pod,
            gone: self.gone,
            containers: &self.containers,
            memory: &self.memory,
            node: &self.node,
            now: at(self.now),
        })
    }

    fn actions(&self) -> Vec<String> {
        self.plan().actions.iter().map(short).collect()
    }
}

/// An action in a few words.
fn short(action: &Action) -> String {
    match action {
        Action::Admit => "admit".to_owned(),
        Action::MountVolumes => "mount".to_owned(),
        Action::RefreshVolumes => "refresh".to_owned(),
        Action::EnsureImage { container, attempt } => format!("image {container}/{attempt}"),
        Action::SetUpNetwork { netns } => format!("network netns={netns}"),
        Action::Launch { container, attempt, .. } => format!("launch {container}/{attempt}"),
        Action::Stop { id, grace, .. } => format!("stop {}/{} {}s", id.name, id.attempt, grace.as_secs()),
        Action::Rerun(attempts) => {
            let names: Vec<_> = attempts.iter().map(|(name, attempt)| format!("{name}/{attempt}")).collect();
            format!("rerun after {}", names.join(" "))
        }
        Action::Resize { containers, narrows } => {
            let names: Vec<_> = containers.iter().map(|(id, _)| id.name.as_str()).collect();
            format!("resize {}{}", names.join(" "), if *narrows { "" } else { " (wide)" })
        }
        Action::MeasureStorage { .. } => "measure".to_owned(),
        Action::Remove { id, .. } => format!("remove {}/{}", id.name, id.attempt),
        Action::TearDown => "teardown".to_owned(),
        Action::DeletePod => "delete".to_owned(),
    }
}
