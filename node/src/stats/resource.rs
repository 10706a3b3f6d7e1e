//! `/metrics/resource`: what autoscaling needs, under kubelet's names.

use super::exposition::{Kind, Page, seconds};
use super::snapshot::Snapshot;

/// The page.
pub(super) fn page(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    containers(&mut page, snapshot);
    let at = Some(snapshot.at);
    let name = "node_cpu_usage_seconds_total";
    page.family(name, Kind::Counter, "[STABLE] Cumulative cpu time consumed by the node in core-seconds");
    page.sample(name, &[], seconds(snapshot.node.cpu_nanos), at);
    let name = "node_memory_working_set_bytes";
    page.family(name, Kind::Gauge, "[STABLE] Current working set of the node in bytes");
    page.sample(name, &[], snapshot.node.working_set, at);
    let name = "pod_cpu_usage_seconds_total";
    page.family(name, Kind::Counter, "[STABLE] Cumulative cpu time consumed by the pod in core-seconds");
    for pod in &snapshot.pods {
        let labels = [("namespace", pod.namespace()), ("pod", pod.name())];
        page.sample(name, &labels, seconds(pod.total().cpu_nanos), at);
    }
    let name = "pod_memory_working_set_bytes";
    page.family(name, Kind::Gauge, "[STABLE] Current working set of the pod in bytes");
    for pod in &snapshot.pods {
        let labels = [("namespace", pod.namespace()), ("pod", pod.name())];
        page.sample(name, &labels, pod.total().working_set, at);
    }
    let name = "resource_scrape_error";
    page.family(
        name,
        Kind::Gauge,
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    page.sample(name, &[], 0, None);
    page.into_text()
}

fn containers(page: &mut Page, snapshot: &Snapshot) {
    let all = || {
        snapshot.pods.iter().flat_map(|pod| {
            pod.containers.iter().map(move |container| {
                let labels = [
                    ("container", container.name.as_str()),
                    ("namespace", pod.namespace()),
                    ("pod", pod.name()),
                ];
                (labels, container)
            })
        })
    };
    let at = Some(snapshot.at);
    let name = "container_cpu_usage_seconds_total";
    page.family(
        name,
        Kind::Counter,
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    );
    for (labels, container) in all() {
        page.sample(name, &labels, seconds(container.usage.cpu_nanos), at);
    }
    let name = "container_memory_working_set_bytes";
    page.family(name, Kind::Gauge, "[STABLE] Current working set of the container in bytes");
    for (labels, container) in all() {
        page.sample(name, &labels, container.usage.working_set, at);
    }
    let name = "container_start_time_seconds";
    page.family(name, Kind::Gauge, "[STABLE] Start time of the container since unix epoch in seconds");
    for (labels, container) in all() {
        let nanos = u64::try_from(container.started_at.as_nanosecond()).unwrap_or(0);
        page.sample(name, &labels, seconds(nanos), None);
    }
}
