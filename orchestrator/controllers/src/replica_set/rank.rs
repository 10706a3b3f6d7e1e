//! Which Pods go first when there are too many: those whose loss costs least.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::objects::meta::uid;
use crate::objects::pods::{is_active, is_ready, ready_since};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts the Pods by the order in which they should be deleted: not placed, not running, not ready, cheap by the
/// user's word, on a node with many related Pods, ready for a shorter time, restarted more often, younger.
pub(super) fn rank(mut pods: Vec<Arc<Pod>>, related: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
    let mut neighbours = HashMap::<&str, usize>::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *neighbours.entry(node(pod)).or_default() += 1;
    }
    let crowd = |pod: &Pod| neighbours.get(node(pod)).copied().unwrap_or_default();
    pods.sort_by(|a, b| {
        let state = |pod: &Pod| (!node(pod).is_empty(), phase_rank(pod), is_ready(pod), deletion_cost(pod));
        let readiness = || {
            ready_since(a).zip(ready_since(b)).map_or(Ordering::Equal, |(x, y)| by_age((a, x), (b, y), now))
        };
        let ages =
            || created(a).zip(created(b)).map_or(Ordering::Equal, |(x, y)| by_age((a, x), (b, y), now));
        state(a)
            .cmp(&state(b))
            .then_with(|| crowd(b).cmp(&crowd(a)))
            .then_with(readiness)
            .then_with(|| restarts(b).cmp(&restarts(a)))
            .then_with(ages)
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    pods
}

/// Sorts the Pods likewise, but by what they are alone: neither the user's word nor related Pods matter.
pub(crate) fn by_worth(mut pods: Vec<Arc<Pod>>) -> Vec<Arc<Pod>> {
    pods.sort_by(|a, b| {
        let state = |pod: &Pod| (!node(pod).is_empty(), phase_rank(pod), is_ready(pod));
        state(a)
            .cmp(&state(b))
            .then_with(|| ready_since(b).cmp(&ready_since(a)))
            .then_with(|| restarts(b).cmp(&restarts(a)))
            .then_with(|| created(b).cmp(&created(a)))
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    pods
}

/// The younger first, by orders of magnitude; among those of one order the uid draws lots, so that not always the
/// youngest go.
fn by_age((a, since_a): (&Pod, Timestamp), (b, since_b): (&Pod, Timestamp), now: Timestamp) -> Ordering {
    if since_a == since_b {
        return Ordering::Equal;
    }
    let order =
        |since: Timestamp| u128::try_from(now.duration_since(since).as_nanos()).unwrap_or(0).checked_ilog2();
    order(since_a).cmp(&order(since_b)).then_with(|| uid(&a.metadata).cmp(uid(&b.metadata)))
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
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
