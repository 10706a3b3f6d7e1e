//! What a node's heartbeat means for its conditions and taints.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The taint of a node that says it is not ready.
pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that says nothing any more.
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The conditions that only the node itself can tell.
const TOLD_BY_NODE: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// The taint for each condition that is true.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// How long a node that never said whether it is ready may take to say so.
const STARTUP: SignedDuration = SignedDuration::from_secs(60);

/// What to write, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Health {
    pub(super) conditions: Option<Vec<NodeCondition>>,
    pub(super) look_again: Option<Duration>,
}

/// What becomes of the Pods of a node that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drive {
    /// They are driven away.
    Away,
    /// As before.
    Hold,
    /// They stay.
    Stay,
}

/// Judges a node by when it was last heard of.
pub(super) fn judge(node: &Node, last_heard: Timestamp, grace: Duration, now: Timestamp) -> Health {
    let before = conditions(node);
    let is_new = !before.iter().any(|condition| condition.type_ == "Ready");
    let grace = if is_new { STARTUP } else { SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX) };
    let left = grace.saturating_sub(now.duration_since(last_heard));
    let is_silent = left <= SignedDuration::ZERO;
    let born = node.metadata.creation_timestamp.clone();
    let conditions = is_silent.then(|| silenced(before, born.as_ref(), now));
    Health {
        conditions: conditions.filter(|conditions| conditions != before),
        look_again: Duration::try_from(left).ok().filter(|left| !left.is_zero()),
    }
}

/// The taints that the node should have, if those are not the ones it has.
pub(super) fn tainted(node: &Node, drive: Drive, now: Timestamp) -> Option<Vec<Taint>> {
    let before = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let taints = taints(node, drive, &before, now);
    (taints != before).then_some(taints)
}

/// Whether the node's Pods are being driven away for its health.
pub(super) fn is_given_up(node: &Node) -> bool {
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.any(drives_away)
}

fn drives_away(taint: &Taint) -> bool {
    taint.effect == "NoExecute" && (taint.key == NOT_READY || taint.key == UNREACHABLE)
}

fn conditions(node: &Node) -> &[NodeCondition] {
    node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// The state of one condition of a node.
pub(super) fn status<'n>(node: &'n Node, type_: &str) -> Option<&'n str> {
    let found = conditions(node).iter().find(|condition| condition.type_ == type_);
    found.map(|condition| condition.status.as_str())
}

/// The conditions of a node that is not heard of any more.
fn silenced(before: &[NodeCondition], born: Option<&Time>, now: Timestamp) -> Vec<NodeCondition> {
    let mut conditions = before.to_vec();
    for type_ in TOLD_BY_NODE {
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                "Unknown".clone_into(&mut condition.status);
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(Time(now));
            }
            None => conditions.push(NodeCondition {
                type_: type_.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: born.cloned(),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    conditions
}

/// The taints that follow from the conditions, beside those that are somebody else's.
fn taints(node: &Node, drive: Drive, before: &[Taint], now: Timestamp) -> Vec<Taint> {
    let readiness = match status(node, "Ready") {
        Some("True") => None,
        Some("Unknown") => Some(UNREACHABLE),
        Some(_) | None => Some(NOT_READY),
    };
    let mut wanted = Vec::new();
    if let Some(key) = readiness {
        wanted.push((key, "NoSchedule"));
        if drive == Drive::Away || (drive == Drive::Hold && before.iter().any(drives_away)) {
            wanted.push((key, "NoExecute"));
        }
    }
    wanted.extend(
        PRESSURES
            .iter()
            .filter(|(type_, _)| status(node, type_) == Some("True"))
            .map(|(_, key)| (*key, "NoSchedule")),
    );
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<_> =
        before.iter().filter(|taint| !is_ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                time_added: Some(Time(now)),
                value: None,
            });
        }
    }
    taints
}

fn is_ours(taint: &Taint) -> bool {
    let key = taint.key.as_str();
    let by_readiness = key == NOT_READY || key == UNREACHABLE;
    let by_state = key == UNSCHEDULABLE || PRESSURES.iter().any(|(_, pressure)| *pressure == key);
    by_readiness || (by_state && taint.effect == "NoSchedule")
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
