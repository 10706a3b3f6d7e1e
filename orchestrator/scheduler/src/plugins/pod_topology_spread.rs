//! Pods that are to be spread evenly over the domains of a topology.

use super::{Plugin, Refusal, Why};
use crate::cluster::Cluster;
use crate::event::Event;
use crate::pod::PodInfo;

/// The topology whose domains are the nodes.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";

/// Of a node that is in no domain.
pub(crate) const NO_LABEL: Refusal =
    refusal("node(s) didn't match pod topology spread constraints (missing required label)", true);
/// Of a node whose domain has too many already.
pub(crate) const UNEVEN: Refusal = refusal("node(s) didn't match pod topology spread constraints", false);

const fn refusal(text: &'static str, is_final: bool) -> Refusal {
    Refusal { plugin: Plugin::PodTopologySpread, why: Why::Text(text), is_final }
}

pub(super) fn helps(pod: &PodInfo, _: &Cluster, event: &Event) -> bool {
    let counts = |namespace: &str, labels: &_| {
        let mut constraints = pod.template.spread.iter();
        *namespace == *pod.template.namespace && constraints.any(|constraint| constraint.counts(labels))
    };
    match event {
        // Each can raise the least count or add a domain that is empty.
        Event::NodeAdded(_) | Event::NodeRemoved => true,
        Event::NodeChanged(_, changes) => changes.labels || changes.taints,
        Event::PodPlaced { template, .. } | Event::PodGone { template, .. } => {
            counts(&template.namespace, &template.labels)
        }
        Event::PodChanged { before, now, .. } => before.labels != now.labels,
        Event::NamespaceChanged | Event::StorageChanged(_) => false,
    }
}
