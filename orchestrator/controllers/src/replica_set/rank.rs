//! Which Pods go first when there are too many: those whose loss costs least.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::objects::pods::{is_ready, ready_since};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The order of deletion, smallest first: not placed, not running, not ready, cheap by the user's word, on a
/// node with many siblings, ready for a shorter time, restarted more often, younger.
type Rank = (
    bool,
    u8,
    bool,
    i32,
    Reverse<usize>,
    Reverse<Option<Timestamp>>,
    Reverse<i32>,
    Reverse<Option<Timestamp>>,
);

/// Sorts the Pods by the order in which they should be deleted.
pub(super) fn rank(mut pods: Vec<Arc<Pod>>) -> Vec<Arc<Pod>> {
    let mut neighbours = HashMap::<String, usize>::new();
    for pod in &pods {
        *neighbours.entry(node(pod).to_owned()).or_default() += 1;
    }
    let key = |pod: &Pod| rank_of(pod, neighbours.get(node(pod)).copied().unwrap_or_default());
    pods.sort_by(|a, b| match key(a).cmp(&key(b)) {
        Ordering::Equal => a.metadata.name.cmp(&b.metadata.name),
        decided => decided,
    });
    pods
}

fn rank_of(pod: &Pod, neighbours: usize) -> Rank {
    (
        !node(pod).is_empty(),
        phase_rank(pod),
        is_ready(pod),
        deletion_cost(pod),
        Reverse(neighbours),
        Reverse(ready_since(pod)),
        Reverse(restarts(pod)),
        Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)),
    )
}

fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn phase_rank(pod: &Pod) -> u8 {
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Running") => 2,
        Some("Unknown") => 1,
        Some(_) | None => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(DELETION_COST)).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}
