//! `/metrics/probes`: how often probes looked, under kubelet's names.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::exposition::{Kind, Page};
use crate::probes::Tallies;

const NAME: &str = "prober_probe_total";

/// The page.
pub(super) fn page(pods: &[Arc<Pod>], tallies: &Tallies) -> String {
    let mut page = Page::default();
    let help =
        "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.";
    page.family(NAME, Kind::Counter, help);
    for meta in pods.iter().map(|pod| &pod.metadata) {
        let text = |field: &'_ Option<String>| field.clone().unwrap_or_default();
        let (namespace, pod, uid) = (text(&meta.namespace), text(&meta.name), text(&meta.uid));
        for ((container, kind), tally) in tallies.of_pod(&uid) {
            for (result, count) in tally.counts().into_iter().filter(|(_, count)| *count > 0) {
                let labels = [
                    ("container", container.as_str()),
                    ("namespace", &namespace),
                    ("pod", &pod),
                    ("pod_uid", &uid),
                    ("probe_type", kind.title()),
                    ("result", result),
                ];
                page.sample(NAME, &labels, count, None);
            }
        }
    }
    page.into_text()
}
