//! The nodes and what each has given away: kept up by every change, never recomputed.
//!
//! Guarantees: the aggregates of a node are the sums over the Pods counted on it; a Pod is counted once, be it
//! assumed or confirmed. A node that Pods are counted on but that is not known (yet) keeps them.

mod node;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};

pub(crate) use node::NodeInfo;

use crate::pod::PodInfo;

/// Where a Pod is counted.
struct Placed {
    node: String,
    /// Whether we have only decided it, and the API does not show it yet.
    assumed: bool,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Cluster {
    nodes: HashMap<String, NodeInfo>,
    placed: HashMap<String, Placed>,
}

impl Cluster {
    /// The nodes there are, in no particular order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values().filter(|info| info.node.is_some())
    }

    /// Takes over a node as it is now; returns it as it was.
    pub(crate) fn set_node(&mut self, node: Arc<Node>) -> Option<Arc<Node>> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let info = self.nodes.entry(name.clone()).or_insert_with(|| NodeInfo::new(name));
        info.set_node(node)
    }

    /// Forgets a node; Pods counted on it stay until they go.
    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some(info) = self.nodes.get_mut(name) {
            info.clear_node();
            self.drop_if_unused(name);
        }
    }

    /// Whether the Pod of this uid is counted somewhere.
    pub(crate) fn is_placed(&self, uid: &str) -> bool {
        self.placed.contains_key(uid)
    }

    /// Whether this Pod is counted already as it is now, and no longer only assumed.
    pub(crate) fn counts(&self, pod: &Pod) -> bool {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let placed = self.placed.get(uid).filter(|placed| !placed.assumed);
        let counted = placed.and_then(|placed| self.nodes.get(&placed.node)).and_then(|node| node.pod(uid));
        counted.is_some_and(|counted| counted.object.spec == pod.spec)
    }

    /// Counts a Pod on a node before the API shows it there.
    pub(crate) fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.place(pod, node, true);
    }

    /// Takes an assumption back; a Pod that was confirmed since stays.
    pub(crate) fn forget(&mut self, uid: &str) -> bool {
        let is_assumed = self.placed.get(uid).is_some_and(|placed| placed.assumed);
        if is_assumed {
            self.remove_pod(uid);
        }
        is_assumed
    }

    /// Counts a Pod on the node the API shows it on, as it is now.
    pub(crate) fn set_pod(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.place(pod, node, false);
    }

    /// Stops counting a Pod; returns whether it was counted.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(placed) = self.placed.remove(uid) else { return false };
        if let Some(info) = self.nodes.get_mut(&placed.node) {
            info.remove(uid);
            self.drop_if_unused(&placed.node);
        }
        true
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        self.remove_pod(&pod.uid);
        self.placed.insert(pod.uid.clone(), Placed { node: node.to_owned(), assumed });
        let info = self.nodes.entry(node.to_owned()).or_insert_with(|| NodeInfo::new(node.to_owned()));
        info.add(pod);
    }

    fn drop_if_unused(&mut self, name: &str) {
        if self.nodes.get(name).is_some_and(|info| info.node.is_none() && info.pods().next().is_none()) {
            self.nodes.remove(name);
        }
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
