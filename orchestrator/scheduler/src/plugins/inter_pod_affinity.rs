//! Pods that want to be near others, or apart from them.

use super::{Plugin, Refusal, Why};
use crate::cluster::Cluster;
use crate::event::Event;
use crate::pod::{PodInfo, PodTerm};

/// Of a node in whose domain there is none of the Pods wanted near.
pub(crate) const NOT_NEAR: Refusal = refusal("node(s) didn't match pod affinity rules", true);
/// Of a node in whose domain there are Pods that are not wanted near.
pub(crate) const NOT_APART: Refusal = refusal("node(s) didn't match pod anti-affinity rules", false);
/// Of a node in whose domain there are Pods that do not want this one near.
pub(crate) const KEPT_AWAY: Refusal =
    refusal("node(s) didn't satisfy existing pods anti-affinity rules", false);

const fn refusal(text: &'static str, is_final: bool) -> Refusal {
    Refusal { plugin: Plugin::InterPodAffinity, why: Why::Text(text), is_final }
}

pub(super) fn helps(pod: &PodInfo, cluster: &Cluster, event: &Event) -> bool {
    let rules = &pod.template;
    let speaks_of = |terms: &[PodTerm], namespace: &str, labels: &_| {
        terms.iter().any(|term| term.matches(namespace, labels, cluster.namespace(namespace)))
    };
    match event {
        Event::NodeAdded(_) => true,
        // Labels of namespaces matter to terms that ask for them, its own and those of placed Pods.
        Event::NamespaceChanged => {
            let mut own = rules.affinity.iter().chain(&rules.anti_affinity);
            own.any(PodTerm::asks_for_namespaces) || cluster.templates.have_terms()
        }
        Event::NodeChanged(_, changes) => changes.labels,
        Event::PodPlaced { template, .. } => {
            speaks_of(&rules.affinity, &template.namespace, &template.labels)
        }
        Event::PodChanged { before, now, .. } => before.labels != now.labels,
        Event::PodGone { template, .. } => {
            speaks_of(&rules.anti_affinity, &template.namespace, &template.labels)
                || speaks_of(&template.anti_affinity, &rules.namespace, &rules.labels)
        }
        Event::NodeRemoved | Event::StorageChanged(_) => false,
    }
}
