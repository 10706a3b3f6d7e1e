//! A node's taints keep Pods away that do not tolerate them; fewer of those that only ask are better.

use super::ask::with_ask;
use super::{Args, Ask, Plugin, Refusal};
use crate::cluster::{Cluster, NodeInfo};
use crate::event::Event;
use crate::pod::{Effect, PodInfo};

const REASON: &str = "node(s) had untolerated taint(s)";

pub(super) fn fits(ask: &Ask<'_>, node: &NodeInfo) -> Result<(), Refusal> {
    if ask.bears_taints_of(node) {
        return Ok(());
    }
    Err(Refusal::for_good(Plugin::TaintToleration, REASON))
}

/// How many taints would rather not have the Pod.
pub(super) fn rate(ask: &Ask<'_>, node: &NodeInfo) -> i64 {
    let untolerated = node.taints.iter().filter(|taint| {
        let mut tolerations = ask.template.tolerations.iter();
        !taint.is_hard()
            && !tolerations.any(|one| one.concerns(Effect::PreferNoSchedule) && one.tolerates(taint))
    });
    i64::try_from(untolerated.count()).unwrap_or(i64::MAX)
}

pub(super) fn helps(pod: &PodInfo, cluster: &Cluster, event: &Event) -> bool {
    let bears = |node| {
        with_ask(&pod.template, cluster, &Args::default(), |ask| ask.bears_taints_of(cluster.node(node)))
    };
    match event {
        Event::NodeAdded(node) => bears(*node),
        Event::NodeChanged(node, changes) => changes.taints && bears(*node),
        _ => false,
    }
}
