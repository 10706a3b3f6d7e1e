//! What the node and everything on it use at a moment.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use wherry_runtime_api::{ContainerState, Usage};

use super::host::{self, Traffic};
use crate::context::Context;
use crate::network::host_interface;
use crate::pods::{self, PodIndex};

/// What there is to tell.
pub(super) struct Snapshot {
    pub(super) at: Timestamp,
    pub(super) node: Usage,
    /// What the agent uses, with the wasm containers that run in it.
    pub(super) agent: Usage,
    pub(super) interfaces: HashMap<String, Traffic>,
    pub(super) pods: Vec<PodFigures>,
}

/// What a Pod uses.
pub(super) struct PodFigures {
    pub(super) pod: Arc<Pod>,
    pub(super) containers: Vec<ContainerFigures>,
    /// What went through its interface, if it has one of its own.
    pub(super) traffic: Option<Traffic>,
}

/// What a container uses that runs.
pub(super) struct ContainerFigures {
    pub(super) name: String,
    /// As in the Pod's status.
    pub(super) id: String,
    pub(super) image: String,
    pub(super) started_at: Timestamp,
    pub(super) usage: Usage,
}

impl PodFigures {
    /// What its containers use together.
    pub(super) fn total(&self) -> Usage {
        sum(self.containers.iter().map(|container| container.usage))
    }

    pub(super) fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }
}

/// All of these together.
pub(super) fn sum(all: impl Iterator<Item = Usage>) -> Usage {
    all.fold(Usage::default(), |sum, next| Usage {
        cpu_nanos: sum.cpu_nanos + next.cpu_nanos,
        memory: sum.memory + next.memory,
        working_set: sum.working_set + next.working_set,
        anonymous: sum.anonymous + next.anonymous,
        page_faults: sum.page_faults + next.page_faults,
        major_page_faults: sum.major_page_faults + next.major_page_faults,
        processes: sum.processes + next.processes,
    })
}

/// Looks at everything.
pub(super) async fn take(ctx: &Context, index: &PodIndex) -> Snapshot {
    let interfaces = host::interfaces();
    let mut found = Vec::new();
    let mut all = index.all();
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    for pod in all {
        let containers = containers(ctx, &pod).await;
        if !containers.is_empty() {
            let traffic = traffic(&pod, &interfaces);
            found.push(PodFigures { pod, containers, traffic });
        }
    }
    Snapshot { at: ctx.clock.now(), node: host::usage(), agent: host::own_usage(), interfaces, pods: found }
}

fn key(pod: &Pod) -> (Option<&str>, Option<&str>) {
    (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref())
}

async fn containers(ctx: &Context, pod: &Pod) -> Vec<ContainerFigures> {
    let mut found = Vec::new();
    for running in ctx.containers.of_pod(pod.metadata.uid.as_deref().unwrap_or_default()) {
        let ContainerState::Running { started_at } = running.status.state else { continue };
        let id = &running.status.id;
        // One that ended meanwhile uses nothing.
        let Ok(usage) = ctx.runtimes.get(running.handler).usage(id).await else { continue };
        let name = id.name.clone();
        let image = status(pod, &name).map(|status| status.image.clone()).unwrap_or_default();
        let id = pods::container_id(&running);
        found.push(ContainerFigures { name, id, image, started_at, usage });
    }
    found
}

fn status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// The node's end of the Pod's cable counts what the Pod sent as received.
fn traffic(pod: &Pod, interfaces: &HashMap<String, Traffic>) -> Option<Traffic> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    interfaces.get(&host_interface(ip)).copied().map(Traffic::reversed)
}
