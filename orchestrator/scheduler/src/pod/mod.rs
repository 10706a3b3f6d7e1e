//! What the scheduler needs of a Pod, parsed once.

mod requests;
pub(crate) mod resources;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSelector, Pod, PreferredSchedulingTerm, Toleration};
use std::collections::BTreeMap;

use resources::Resources;

/// A port of a node that a Pod asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HostPort {
    pub(crate) protocol: String,
    pub(crate) ip: String,
    pub(crate) port: i32,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct PodInfo {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) priority: i32,
    /// Whether the Pod may make room for itself by ending others.
    pub(crate) may_preempt: bool,
    /// The node in the Pod's spec: where it is, or for a Pod not placed yet, nothing.
    pub(crate) node_name: Option<String>,
    pub(crate) requests: Resources,
    /// The requests with usual amounts for what was left out, so that scores spread such Pods too.
    pub(crate) scored: Resources,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) required_affinity: Option<NodeSelector>,
    pub(crate) preferred_affinity: Vec<PreferredSchedulingTerm>,
    pub(crate) tolerations: Vec<Toleration>,
    /// The object, for events and status.
    pub(crate) object: Arc<Pod>,
}

impl PodInfo {
    pub(crate) fn new(object: Arc<Pod>) -> Self {
        let spec = object.spec.clone().unwrap_or_default();
        let requests = requests::requests(&spec);
        let affinity = spec.affinity.and_then(|affinity| affinity.node_affinity).unwrap_or_default();
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            priority: spec.priority.unwrap_or(0),
            may_preempt: spec.preemption_policy.as_deref() != Some("Never"),
            node_name: spec.node_name.filter(|name| !name.is_empty()),
            scored: requests.with_usual_amounts(),
            requests,
            ports: object.spec.as_ref().map(host_ports).unwrap_or_default(),
            node_selector: spec.node_selector.unwrap_or_default(),
            required_affinity: affinity.required_during_scheduling_ignored_during_execution,
            preferred_affinity: affinity
                .preferred_during_scheduling_ignored_during_execution
                .unwrap_or_default(),
            tolerations: spec.tolerations.unwrap_or_default(),
            object,
        }
    }
}

/// Whether all containers have ended for good, so that the Pod uses nothing.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether this Pod waits for the scheduler of this name.
pub(crate) fn is_waiting(pod: &Pod, scheduler: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let is_placed = spec.node_name.as_ref().is_some_and(|node| !node.is_empty());
    let is_gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let is_ours = spec.scheduler_name.as_deref().unwrap_or("default-scheduler") == scheduler;
    is_ours && !is_placed && !is_gated && !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

fn host_ports(spec: &k8s_openapi::api::core::v1::PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let declared =
        spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let ports = declared.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
        Some(HostPort {
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            ip,
            port: number,
        })
    });
    ports.collect()
}
