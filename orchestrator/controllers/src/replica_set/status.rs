//! The status of a set of replicas, from the Pods that belong to it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::kind::Replicated;
use crate::objects::meta::labels;
use crate::objects::pod_control::Failure;
use crate::objects::pods::{available_in, is_active, is_ready, is_terminal, is_terminating};

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Computes the status to be written.
pub(super) fn status(
    set: &impl Replicated,
    pods: &[Arc<Pod>],
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    let count = |wanted: &dyn Fn(&Pod) -> bool| count(active.iter().filter(|pod| wanted(pod)).count());
    let terminating = pods.iter().filter(|pod| is_terminating(pod) && !is_terminal(pod)).count();
    let min_ready = min_ready(set);
    ReplicaSetStatus {
        replicas: i32::try_from(active.len()).unwrap_or(i32::MAX),
        fully_labeled_replicas: count(&|pod| has_template_labels(set, pod)),
        ready_replicas: count(&is_ready),
        available_replicas: count(&|pod| available_in(pod, min_ready, now) == Some(Duration::ZERO)),
        terminating_replicas: Some(i32::try_from(terminating).unwrap_or(i32::MAX)),
        observed_generation: set.meta().generation,
        conditions: conditions(set, failure, now),
    }
}

/// How long until the next ready Pod counts as available.
pub(super) fn next_available(set: &impl Replicated, pods: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let min_ready = min_ready(set);
    let waits = pods.iter().filter(|pod| is_active(pod)).filter_map(|pod| available_in(pod, min_ready, now));
    waits.filter(|wait| !wait.is_zero()).min()
}

fn min_ready(set: &impl Replicated) -> Duration {
    let seconds = set.min_ready_seconds().unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Counts are left out when they are zero, as upstream does.
fn count(number: usize) -> Option<i32> {
    (number > 0).then(|| i32::try_from(number).unwrap_or(i32::MAX))
}

fn has_template_labels(set: &impl Replicated, pod: &Pod) -> bool {
    let wanted =
        set.template().and_then(|template| template.metadata.as_ref()).and_then(|meta| meta.labels.as_ref());
    let found = labels(&pod.metadata);
    wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| found.get(key) == Some(value)))
}

fn conditions(
    set: &impl Replicated,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let before = set.status().and_then(|status| status.conditions).unwrap_or_default();
    let (failures, mut kept): (Vec<_>, Vec<_>) =
        before.into_iter().partition(|condition| condition.type_ == REPLICA_FAILURE);
    if let Some(failure) = failure {
        let standing =
            failures.into_iter().find(|condition| condition.reason.as_deref() == Some(failure.reason));
        kept.push(standing.unwrap_or_else(|| ReplicaSetCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.to_owned()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(now)),
        }));
    }
    Some(kept).filter(|kept| !kept.is_empty())
}
