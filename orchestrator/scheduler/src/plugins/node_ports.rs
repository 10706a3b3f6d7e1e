//! A port of a node is for one Pod only.

use super::{Ask, Plugin, Refusal};
use crate::cluster::{Cluster, NodeInfo};
use crate::event::Event;
use crate::pod::PodInfo;

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

pub(super) fn fits(ask: &Ask<'_>, node: &NodeInfo) -> Result<(), Refusal> {
    let wanted = &ask.template.ports;
    if wanted.iter().any(|wanted| node.ports.keys().any(|used| wanted.conflicts(used))) {
        return Err(Refusal::for_now(Plugin::NodePorts, REASON));
    }
    Ok(())
}

pub(super) fn helps(pod: &PodInfo, _: &Cluster, event: &Event) -> bool {
    match event {
        Event::NodeAdded(_) => true,
        Event::PodGone { template, .. } => {
            let mut wanted = pod.template.ports.iter();
            wanted.any(|wanted| template.ports.iter().any(|freed| wanted.conflicts(freed)))
        }
        _ => false,
    }
}
