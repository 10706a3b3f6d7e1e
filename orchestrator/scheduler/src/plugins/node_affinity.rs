//! A Pod's node selector and node affinity: what it requires and what it would like.

use super::ask::with_ask;
use super::{Args, Ask, Plugin, Refusal, Why};
use crate::cluster::{Cluster, NodeIndex, NodeInfo};
use crate::event::Event;
use crate::pod::PodInfo;

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

/// What is wrong with the nodes that a Pod does not name which names some; the cycle does not look at them.
pub(crate) const NOT_NAMED: Refusal = Refusal {
    plugin: Plugin::NodeAffinity,
    why: Why::Text("node(s) didn't satisfy plugin(s) [NodeAffinity]"),
    is_final: true,
};

pub(super) fn fits(ask: &Ask<'_>, node: &NodeInfo) -> Result<(), Refusal> {
    if ask.may_be_on(node) { Ok(()) } else { Err(Refusal::for_good(Plugin::NodeAffinity, REASON)) }
}

/// The weights of the preferences the node satisfies.
pub(super) fn rate(ask: &Ask<'_>, node: &NodeInfo) -> i64 {
    ask.wishes_for(node)
}

pub(super) fn helps(pod: &PodInfo, cluster: &Cluster, event: &Event) -> bool {
    match event {
        Event::NodeAdded(node) => may_be_on(pod, cluster, *node),
        Event::NodeChanged(node, changes) => changes.labels && may_be_on(pod, cluster, *node),
        _ => false,
    }
}

fn may_be_on(pod: &PodInfo, cluster: &Cluster, node: NodeIndex) -> bool {
    let node = cluster.node(node);
    pod.pinned.as_ref().is_none_or(|names| names.contains(&node.name))
        && with_ask(&pod.template, cluster, &Args::default(), |ask| ask.may_be_on(node))
}
