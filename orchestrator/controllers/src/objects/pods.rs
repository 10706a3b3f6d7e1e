//! States of Pods that controllers count.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether all containers have ended for good.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the Pod's containers ended for good and not all well.
pub(crate) fn is_failed(pod: &Pod) -> bool {
    phase(pod) == "Failed"
}

/// Whether the Pod's containers ended for good and well.
pub(crate) fn is_succeeded(pod: &Pod) -> bool {
    phase(pod) == "Succeeded"
}

/// Whether the Pod runs.
pub(crate) fn is_running(pod: &Pod) -> bool {
    phase(pod) == "Running"
}

/// Whether the Pod waits for a node, or for its containers.
pub(crate) fn is_pending(pod: &Pod) -> bool {
    phase(pod) == "Pending"
}

/// Whether the Pod is being deleted.
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the Pod counts towards the replicas of its owner.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !is_terminating(pod)
}

/// The condition that says whether the Pod is ready.
pub(crate) fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

/// Whether the Pod is ready to serve.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some_and(|condition| condition.status == "True")
}

/// Since when the Pod has been ready.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let condition = ready_condition(pod).filter(|condition| condition.status == "True")?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// How long until the Pod counts as available: ready for at least `min_ready`. `None` if it is not ready.
pub(crate) fn available_in(pod: &Pod, min_ready: Duration, now: Timestamp) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready.is_zero() {
        return Some(Duration::ZERO);
    }
    let min_ready = SignedDuration::try_from(min_ready).unwrap_or(SignedDuration::MAX);
    let left = min_ready.saturating_sub(now.duration_since(ready_since(pod)?));
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}
