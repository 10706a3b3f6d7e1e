//! `/metrics` and `/configz`: what the node tells of its agent.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wherry_runtime_api::ContainerState;

use super::exposition::{Kind, Page};
use crate::config::Config;
use crate::containers::Running;

/// The page of metrics.
pub(super) fn page(node_name: &str, pods: &[Vec<Running>]) -> String {
    let mut page = Page::default();
    page.family("kubelet_node_name", Kind::Gauge, "[ALPHA] The node's name. The count is always 1.");
    page.sample("kubelet_node_name", &[("node", node_name)], 1, None);
    let help = "[ALPHA] Number of containers currently running";
    page.family("kubelet_running_containers", Kind::Gauge, help);
    for (state, count) in states(pods.iter().flatten()) {
        page.sample("kubelet_running_containers", &[("container_state", state)], count, None);
    }
    let running = pods.iter().filter(|containers| containers.iter().any(Running::is_running)).count();
    let help = "[ALPHA] Number of pods that have a running pod sandbox";
    page.family("kubelet_running_pods", Kind::Gauge, help);
    page.sample("kubelet_running_pods", &[], running, None);
    page.into_text()
}

fn states<'a>(containers: impl Iterator<Item = &'a Running>) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for container in containers {
        let state = match container.status.state {
            ContainerState::Created => "created",
            ContainerState::Running { .. } => "running",
            ContainerState::Exited { .. } => "exited",
        };
        *counts.entry(state).or_default() += 1;
    }
    counts
}

/// The settings that a kubelet would have in the node's place, as far as there are any.
pub(crate) fn settings(config: &Config) -> Value {
    json!({ "kubeletconfig": {
        "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": true }, "x509": {} },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "clusterDNS": config.dns.servers,
        "clusterDomain": config.dns.domain,
        "cpuManagerPolicy": config.resources.cpu_policy.as_str(),
        "enableServer": true,
        "evictionMaxPodGracePeriod": config.eviction.max_pod_grace,
        "maxPods": config.max_pods,
        "nodeLeaseDurationSeconds": 40,
        "nodeStatusReportFrequency": "5m0s",
        "nodeStatusUpdateFrequency": "10s",
        "reservedSystemCPUs": config.resources.reserved_cpus.as_ref().map(ToString::to_string).unwrap_or_default(),
        "topologyManagerPolicy": config.resources.topology_policy.as_str(),
        "topologyManagerScope": config.resources.topology_scope.as_str(),
    } })
}
