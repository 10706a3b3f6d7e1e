//! Pods that want to be near others, or apart from them.

use crate::cluster::Cluster;
use crate::event::Event;
use crate::pod::PodInfo;

pub(super) fn helps(pod: &PodInfo, cluster: &Cluster, event: &Event) -> bool {
    let rules = &pod.template;
    let speaks_of = |terms: &[crate::pod::PodTerm], namespace: &str, labels: &_| {
        terms.iter().any(|term| term.matches(namespace, labels, cluster.namespace(namespace)))
    };
    match event {
        Event::NodeAdded(_) | Event::NamespaceChanged(_) => true,
        Event::NodeChanged(_, changes) => changes.labels,
        Event::PodPlaced { template, .. } => {
            speaks_of(&rules.affinity, &template.namespace, &template.labels)
        }
        Event::PodChanged { before, now, .. } => before.labels != now.labels,
        Event::PodGone { template, .. } => {
            speaks_of(&rules.anti_affinity, &template.namespace, &template.labels)
                || speaks_of(&template.anti_affinity, &rules.namespace, &rules.labels)
        }
        Event::NodeRemoved => false,
    }
}
