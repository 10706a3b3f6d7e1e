//! The Pods of a DaemonSet: on which nodes they belong, how they get there, and which revision they are of.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration,
};

use crate::objects::history::POD_REVISION;
use crate::objects::meta::labels;
use crate::objects::placement::{is_chosen, tolerates_all};
use crate::objects::pod_control::pod_of;

const GENERATION_LABEL: &str = "pod-template-generation";
const GENERATION: &str = "deprecated.daemonset.template.generation";
const NODE_NAME: &str = "metadata.name";

/// What every Pod of a DaemonSet tolerates: key and effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// And those in the node's network as well.
const NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Whether Pods belong on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Belongs {
    /// One shall be there.
    pub(super) shall_run: bool,
    /// One that is there may stay.
    pub(super) may_stay: bool,
}

/// The Pods of a set as they meet nodes: made once, asked for each node.
pub(super) struct Candidate(PodSpec);

impl Candidate {
    pub(super) fn of(set: &DaemonSet) -> Self {
        let mut spec = set.spec.as_ref().and_then(|spec| spec.template.spec.clone()).unwrap_or_default();
        tolerate(&mut spec);
        Self(spec)
    }

    /// Whether such Pods belong on the node.
    pub(super) fn belongs(&self, node: &Node) -> Belongs {
        let spec = &self.0;
        let named = spec.node_name.as_deref().filter(|name| !name.is_empty());
        let names_another = named.is_some_and(|name| node.metadata.name.as_deref() != Some(name));
        if names_another || !is_chosen(spec, node) {
            return Belongs { shall_run: false, may_stay: false };
        }
        let may_stay = tolerates_all(spec, node, &["NoExecute"]);
        Belongs { shall_run: may_stay && tolerates_all(spec, node, &["NoSchedule"]), may_stay }
    }
}

/// A new Pod for the node, which the scheduler binds to it.
pub(super) fn new_pod(set: &DaemonSet, node: &str, hash: &str) -> Pod {
    let mut pod = pod_of(set, set.spec.as_ref().map(|spec| &spec.template));
    let labels = pod.metadata.labels.get_or_insert_default();
    if let Some(generation) = generation(set) {
        labels.insert(GENERATION_LABEL.to_owned(), generation.to_owned());
    }
    labels.insert(POD_REVISION.to_owned(), hash.to_owned());
    let spec = pod.spec.get_or_insert_default();
    tolerate(spec);
    aim(spec, node);
    pod
}

/// Whether the Pod is of the set's template.
pub(super) fn is_updated(set: &DaemonSet, pod: &Pod, hash: &str) -> bool {
    let found = labels(&pod.metadata);
    let is_of_generation =
        generation(set).is_some() && found.get(GENERATION_LABEL).map(String::as_str) == generation(set);
    is_of_generation || found.get(POD_REVISION).map(String::as_str) == Some(hash)
}

fn generation(set: &DaemonSet) -> Option<&str> {
    set.metadata.annotations.as_ref()?.get(GENERATION).map(String::as_str)
}

/// The node the Pod is on, or is to be bound to.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Some(node);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let mut named = fields.filter(|field| field.key == NODE_NAME && field.operator == "In");
    named.find_map(|field| match field.values.as_deref() {
        Some([node]) => Some(node.as_str()),
        Some(_) | None => None,
    })
}

fn tolerate(spec: &mut PodSpec) {
    let network = spec.host_network.unwrap_or(false).then_some(NETWORK);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let wanted = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let same = |held: &&mut Toleration| {
            held.key == wanted.key
                && held.effect == wanted.effect
                && held.operator == wanted.operator
                && held.value.as_deref().unwrap_or_default().is_empty()
        };
        match tolerations.iter_mut().find(same) {
            Some(held) => *held = wanted,
            None => tolerations.push(wanted),
        }
    }
}

/// Lets the scheduler bind the Pod to this node and no other.
fn aim(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement {
        key: NODE_NAME.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![field]), match_expressions: None };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}
