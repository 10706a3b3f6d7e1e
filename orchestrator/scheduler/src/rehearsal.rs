//! Decisions on made-up clusters, without an API: for benches.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::{Cluster, NodeIndex};
use crate::cycle::{Scratch, schedule};
use crate::io::random::Random;
use crate::plugins::Profile;
use crate::pod::PodInfo;

const ZONES: usize = 10;

/// What the Pods ask for besides CPU and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Nothing.
    Basic,
    /// A zone that has one of their kind.
    PodAffinity,
    /// A node that has none of their kind.
    PodAntiAffinity,
    /// If it can be, a node that has one of their kind.
    PreferredPodAffinity,
    /// To be spread over zones.
    TopologySpread,
    /// More than any node has.
    Unschedulable,
}

impl Workload {
    /// What is added to the spec of each Pod.
    fn rules(self) -> Value {
        let term = |key: &str| json!({ "labelSelector": { "matchLabels": { "app": "measured" } }, "topologyKey": key });
        let required = |term: Value| json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] });
        match self {
            Self::Basic | Self::Unschedulable => json!({}),
            Self::PodAffinity => {
                json!({ "affinity": { "podAffinity": required(term("topology.kubernetes.io/zone")) } })
            }
            Self::PodAntiAffinity => {
                json!({ "affinity": { "podAntiAffinity": required(term("kubernetes.io/hostname")) } })
            }
            Self::PreferredPodAffinity => json!({ "affinity": { "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution":
                    [{ "weight": 1, "podAffinityTerm": term("kubernetes.io/hostname") }],
            } } }),
            Self::TopologySpread => json!({ "topologySpreadConstraints": [{
                "maxSkew": 5,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": { "matchLabels": { "app": "measured" } },
            }] }),
        }
    }
}

/// A cluster, the scheduler's state, and Pods that come one after the other.
pub struct Rehearsal {
    cluster: Cluster,
    profile: Profile,
    scratch: Scratch,
    random: Random,
    pods: usize,
}

impl Rehearsal {
    /// A cluster of so many empty nodes, of 4 CPUs and 32 GiB, in ten zones.
    pub fn new(nodes: usize) -> Self {
        let mut cluster = Cluster::default();
        for place in 0..nodes {
            if let Ok(node) = serde_json::from_value(node(place)) {
                cluster.set_node(&node);
            }
        }
        let profile = Profile::new("default-scheduler".to_owned());
        Self { cluster, profile, scratch: Scratch::default(), random: Random::new(1), pods: 0 }
    }

    /// Places a Pod without asking, on one node after the other.
    pub fn add_placed(&mut self) {
        let pod = self.pod(Workload::Basic, "placed");
        let node = NodeIndex::new(self.pods % self.cluster.node_count().max(1));
        self.cluster.assume(&pod, node);
    }

    /// The next Pod of a workload, for [`Rehearsal::decide`].
    pub fn next(&mut self, workload: Workload) -> Waiting {
        Waiting(self.pod(workload, "measured"))
    }

    /// Decides on a Pod and counts it where it goes; returns whether it goes anywhere.
    pub fn decide(&mut self, pod: &Waiting) -> bool {
        let draw = |bound| self.random.below(bound);
        let decision = schedule(&pod.0, &mut self.cluster, &self.profile, &mut self.scratch, draw);
        let Ok(decision) = decision else { return false };
        self.cluster.assume(&pod.0, decision.node);
        true
    }

    fn pod(&mut self, workload: Workload, app: &str) -> PodInfo {
        self.pods += 1;
        let cpu = if workload == Workload::Unschedulable { "5" } else { "100m" };
        let mut spec = workload.rules();
        spec["containers"] =
            json!([{ "name": "pause", "resources": { "requests": { "cpu": cpu, "memory": "500Mi" } } }]);
        let name = format!("pod-{:012}", self.pods);
        let uid = format!("00000000-0000-4000-8000-{:012}", self.pods);
        let metadata = json!({ "name": name, "namespace": "default", "uid": uid, "labels": { "app": app } });
        let pod = serde_json::from_value(json!({ "metadata": metadata, "spec": spec }));
        PodInfo::new(Arc::new(pod.unwrap_or_default()))
    }
}

/// A Pod that waits.
pub struct Waiting(PodInfo);

fn node(place: usize) -> Value {
    let name = format!("node-{place:06}");
    let resources = json!({ "cpu": "4", "memory": "32Gi", "pods": "110" });
    json!({
        "metadata": { "name": name, "labels": {
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("zone-{}", place % ZONES),
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        } },
        "status": { "allocatable": resources, "capacity": resources },
    })
}
