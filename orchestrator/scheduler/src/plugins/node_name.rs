//! A Pod that names its node fits only there. The cycle looks at no other node.

use super::{Plugin, Refusal};
use crate::cluster::Cluster;
use crate::event::Event;
use crate::pod::PodInfo;

/// What is wrong with the other nodes.
pub(crate) const REFUSAL: Refusal = Refusal {
    plugin: Plugin::NodeName,
    why: super::Why::Text("node(s) didn't match the requested node name"),
    is_final: true,
};

pub(super) fn helps(pod: &PodInfo, cluster: &Cluster, event: &Event) -> bool {
    matches!(event, Event::NodeAdded(node) if pod.node_name.as_ref() == Some(&cluster.node(*node).name))
}
