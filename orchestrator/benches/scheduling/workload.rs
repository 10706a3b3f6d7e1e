//! The workloads, shaped as those of upstream's scheduler_perf.

use serde_json::{Value, json};

/// One workload: what is there before, and what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Basic,
    /// As `Basic`, but all Pods are there before anybody schedules.
    Backlog,
    PodAffinity,
    PodAntiAffinity,
    PreferredPodAffinity,
    TopologySpreading,
    NodeAffinity,
    Unschedulable,
    Preemption,
    MixedChurn,
    Daemonset,
}

impl Workload {
    pub(crate) const ALL: [Self; 11] = [
        Self::Basic,
        Self::Backlog,
        Self::PodAffinity,
        Self::PodAntiAffinity,
        Self::PreferredPodAffinity,
        Self::TopologySpreading,
        Self::NodeAffinity,
        Self::Unschedulable,
        Self::Preemption,
        Self::MixedChurn,
        Self::Daemonset,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Backlog => "backlog",
            Self::PodAffinity => "pod_affinity",
            Self::PodAntiAffinity => "pod_anti_affinity",
            Self::PreferredPodAffinity => "preferred_pod_affinity",
            Self::TopologySpreading => "topology_spreading",
            Self::NodeAffinity => "node_affinity",
            Self::Unschedulable => "unschedulable",
            Self::Preemption => "preemption",
            Self::MixedChurn => "mixed_churn",
            Self::Daemonset => "daemonset",
        }
    }

    /// How many Pods are there before, and how many are measured, on so many nodes.
    pub(crate) fn counts(self, nodes: usize) -> (usize, usize) {
        match self {
            Self::Preemption => (nodes * 4, nodes.min(500)),
            Self::PodAntiAffinity => (nodes / 5, nodes.min(1_000) / 2),
            Self::Unschedulable => (200, 1_000),
            Self::Daemonset => (0, nodes),
            Self::Backlog => (0, 3_000),
            Self::Basic => (nodes.min(1_000), 3_000),
            _ => (nodes.min(1_000), 1_000),
        }
    }

    /// A Pod that is there before.
    pub(crate) fn before(self, number: usize) -> Value {
        match self {
            // Fills the nodes with four Pods each.
            Self::Preemption => pod("before", number, "900m", &json!({"priority": -10})),
            Self::Unschedulable => pod("before", number, "100", &json!({})),
            Self::PodAffinity
            | Self::PodAntiAffinity
            | Self::PreferredPodAffinity
            | Self::TopologySpreading => self.measured(number, "before"),
            _ => pod("before", number, "100m", &json!({})),
        }
    }

    /// A Pod that is measured; `name` tells apart those of one number.
    pub(crate) fn measured(self, number: usize, name: &str) -> Value {
        let term =
            |key: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": {"color": "blue"}}});
        let more = match self {
            Self::Basic | Self::Backlog | Self::Unschedulable | Self::MixedChurn => json!({}),
            Self::PodAffinity => json!({"affinity": {"podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [term("topology.kubernetes.io/zone")]}}}),
            Self::PodAntiAffinity => json!({"affinity": {"podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [term("kubernetes.io/hostname")]}}}),
            Self::PreferredPodAffinity => json!({"affinity": {"podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": term("kubernetes.io/hostname")}]}}}),
            Self::TopologySpreading => json!({"topologySpreadConstraints": [{
                "maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"color": "blue"}}}]}),
            Self::NodeAffinity => json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-0", "zone-1"]}]}]}}}}),
            Self::Daemonset => json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [
                    {"key": "metadata.name", "operator": "In", "values": [format!("node-{number}")]}]}]}}}}),
            Self::Preemption => return pod(name, number, "3", &json!({"priority": 10})),
        };
        pod(name, number, "100m", &more)
    }
}

/// A node of 4 CPUs in one of ten zones.
pub(crate) fn node(number: usize) -> Value {
    let name = format!("node-{number}");
    let zone = format!("zone-{}", number % 10);
    let amounts = json!({"cpu": "4", "memory": "32Gi", "pods": "110"});
    json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The node of the churn, which has room for nobody.
pub(crate) fn churned_node() -> Value {
    json!({
        "metadata": {"name": "node-churn"},
        "status": {"capacity": {"pods": "0"}, "allocatable": {"pods": "0"}},
    })
}

/// The Pod of the churn: more important than the others and too large for every node.
pub(crate) fn churned_pod() -> Value {
    let mut churned = pod("pod", 0, "100", &json!({"priority": 10}));
    churned["metadata"] = json!({"name": "pod-churn"});
    churned
}

/// The Service of the churn.
pub(crate) fn churned_service() -> Value {
    json!({"metadata": {"name": "service-churn"}, "spec": {"selector": {"app": "churn"}, "ports": [{"port": 8080}]}})
}

fn pod(name: &str, number: usize, cpu: &str, more: &Value) -> Value {
    let container = json!({
        "name": "c", "image": "pause", "resources": {"requests": {"cpu": cpu, "memory": "50Mi"}}});
    // Nobody says here that nodes are ready.
    let mut spec = json!({
        "containers": [container], "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false,
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    if let Some(priority) = spec.as_object_mut().and_then(|spec| spec.remove("priority")) {
        spec["priorityClassName"] = json!(if priority == json!(10) { "high" } else { "low" });
    }
    json!({"metadata": {"name": format!("{name}-{number}"), "labels": {"color": "blue"}}, "spec": spec})
}
