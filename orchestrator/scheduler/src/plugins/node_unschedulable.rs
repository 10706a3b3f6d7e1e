//! A node closed by `kubectl cordon` takes only Pods that tolerate it.

use super::{Ask, Plugin, Refusal};
use crate::cluster::{Cluster, NodeInfo};
use crate::event::Event;
use crate::pod::{Effect, PodInfo, Taint, Template};

const REASON: &str = "node(s) were unschedulable";
const TAINT: &str = "node.kubernetes.io/unschedulable";

pub(super) fn fits(ask: &Ask<'_>, node: &NodeInfo) -> Result<(), Refusal> {
    if !node.is_unschedulable || tolerates(ask.template) {
        return Ok(());
    }
    Err(Refusal::for_good(Plugin::NodeUnschedulable, REASON))
}

fn tolerates(template: &Template) -> bool {
    let taint = Taint { key: TAINT.to_owned(), value: String::new(), effect: Effect::NoSchedule };
    template.tolerations.iter().any(|toleration| toleration.tolerates(&taint))
}

pub(super) fn helps(_: &PodInfo, cluster: &Cluster, event: &Event) -> bool {
    match event {
        Event::NodeAdded(node) => !cluster.node(*node).is_unschedulable,
        Event::NodeChanged(node, changes) => changes.taints && !cluster.node(*node).is_unschedulable,
        _ => false,
    }
}
