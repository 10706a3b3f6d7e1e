//! One node with the sums over the Pods counted on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod::resources::Resources;
use crate::pod::{HostPort, PodInfo};

/// See the module's documentation.
pub(crate) struct NodeInfo {
    pub(crate) name: String,
    /// Absent while only Pods name it.
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) allocatable: Resources,
    pub(crate) requested: Resources,
    pub(crate) scored: Resources,
    /// The ports in use, and by how many Pods.
    pub(crate) ports: HashMap<HostPort, usize>,
    pods: HashMap<String, Arc<PodInfo>>,
}

impl NodeInfo {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            node: None,
            allocatable: Resources::default(),
            requested: Resources::default(),
            scored: Resources::default(),
            ports: HashMap::new(),
            pods: HashMap::new(),
        }
    }

    /// The Pods counted here.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.pods.values()
    }

    /// The Pod of this uid, if it is counted here.
    pub(crate) fn pod(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.pods.get(uid)
    }

    /// The node's taints.
    pub(crate) fn taints(&self) -> &[Taint] {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    /// The node's labels.
    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.node.as_ref().and_then(|node| node.metadata.labels.as_ref()).unwrap_or(&NONE)
    }

    /// Whether somebody closed the node to new Pods.
    pub(crate) fn is_unschedulable(&self) -> bool {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.unschedulable).unwrap_or(false)
    }

    pub(super) fn set_node(&mut self, node: Arc<Node>) -> Option<Arc<Node>> {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        self.allocatable = allocatable.map(Resources::parse).unwrap_or_default();
        self.node.replace(node)
    }

    pub(super) fn clear_node(&mut self) {
        self.node = None;
        self.allocatable = Resources::default();
    }

    pub(super) fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested += &pod.requests;
        self.scored += &pod.scored;
        for port in &pod.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    pub(super) fn remove(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else { return };
        self.requested -= &pod.requests;
        self.scored -= &pod.scored;
        for port in &pod.ports {
            if let Some(users) = self.ports.get_mut(port) {
                *users -= 1;
                if *users == 0 {
                    self.ports.remove(port);
                }
            }
        }
    }
}
