//! Pods that are to be spread evenly over the domains of a topology.

use crate::cluster::Cluster;
use crate::event::Event;
use crate::pod::PodInfo;

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
        Event::NamespaceChanged(_) => false,
    }
}
