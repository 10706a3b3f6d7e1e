//! How long to wait before a Pod that failed is replaced: 10 s, doubled with every failure in a row up to 10 min.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::facts::{failures_of_index, ignored_failures_of_index};
use crate::objects::pods::ready_condition;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(10);

/// Failures in a row, without a success between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
    last: Option<Timestamp>,
}

impl Backoff {
    /// What it becomes by Pods that ended since.
    pub(super) fn after(self, succeeded: &[Arc<Pod>], failed: &[Arc<Pod>]) -> Self {
        let last_success = succeeded.iter().filter_map(|pod| finished_at(pod)).max();
        let mut failures: Vec<_> = failed.iter().filter_map(|pod| finished_at(pod)).collect();
        failures.retain(|failure| last_success.is_none_or(|success| *failure > success));
        let before = if succeeded.is_empty() { self } else { Self::default() };
        Self {
            failures: before.failures.saturating_add(u32::try_from(failures.len()).unwrap_or(u32::MAX)),
            last: failures.into_iter().max().or(before.last),
        }
    }

    /// How much longer to wait.
    pub(super) fn left(self, now: Timestamp) -> Duration {
        self.last.map_or(Duration::ZERO, |last| left(self.failures, last, now))
    }
}

/// How much longer an index waits whose last Pod failed.
pub(super) fn left_of_index(last_failed: Option<&Pod>, now: Timestamp) -> Duration {
    let Some((pod, last)) = last_failed.and_then(|pod| Some((pod, finished_at(pod)?))) else {
        return Duration::ZERO;
    };
    let failures = failures_of_index(pod).saturating_add(ignored_failures_of_index(pod)).saturating_add(1);
    left(u32::try_from(failures).unwrap_or(0), last, now)
}

fn left(failures: u32, last: Timestamp, now: Timestamp) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let wait = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST);
    let passed = now.duration_since(last);
    let left = SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO).saturating_sub(passed);
    Duration::try_from(left).unwrap_or(Duration::ZERO)
}

/// When the Pod ended: when its containers did, when it was no longer ready, when it was told to, or at worst when it
/// was made.
pub(super) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let unready = || {
        let condition = ready_condition(pod).filter(|condition| condition.status == "False")?;
        condition.last_transition_time.as_ref().map(|time| time.0)
    };
    let told = || {
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        pod.metadata.deletion_timestamp.as_ref()?.0.checked_sub(grace).ok()
    };
    let made = || pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    containers_finished_at(pod).or_else(unready).or_else(told).or_else(made)
}

/// When the last container ended, if all have.
fn containers_finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ends = statuses
        .iter()
        .map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|time| time.0));
    ends.collect::<Option<Vec<_>>>()?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn ended(second: i64) -> Arc<Pod> {
        let terminated =
            ContainerStateTerminated { finished_at: Some(Time(at(second))), ..Default::default() };
        let state = ContainerState { terminated: Some(terminated), ..Default::default() };
        let container = ContainerStatus { state: Some(state), ..Default::default() };
        let status = PodStatus { container_statuses: Some(vec![container]), ..PodStatus::default() };
        Arc::new(Pod { status: Some(status), ..Pod::default() })
    }

    fn all(seconds: &[i64]) -> Vec<Arc<Pod>> {
        seconds.iter().copied().map(ended).collect()
    }

    #[rstest]
    #[case::nothing((2, 5), &[], &[], (2, Some(5)))]
    #[case::more_failures((2, 5), &[], &[7, 6], (4, Some(7)))]
    #[case::a_success((2, 5), &[9], &[], (0, None))]
    #[case::failures_before_a_success((2, 5), &[9], &[8, 9], (0, None))]
    #[case::failures_after_a_success((2, 5), &[9], &[8, 10, 11], (2, Some(11)))]
    fn failures_in_a_row(
        #[case] before: (u32, i64),
        #[case] succeeded: &[i64],
        #[case] failed: &[i64],
        #[case] (failures, last): (u32, Option<i64>),
    ) {
        let before = Backoff { failures: before.0, last: Some(at(before.1)) };
        let after = before.after(&all(succeeded), &all(failed));
        assert_eq!(after, Backoff { failures, last: last.map(at) });
    }

    #[rstest]
    #[case(0, 0, 0)]
    #[case(1, 0, 10)]
    #[case(1, 4, 6)]
    #[case(1, 11, 0)]
    #[case(3, 0, 40)]
    #[case(7, 0, 600)]
    #[case(4_000_000_000, 1, 599)]
    fn the_wait_doubles(#[case] failures: u32, #[case] passed: i64, #[case] seconds: u64) {
        let backoff = Backoff { failures, last: Some(at(0)) };
        assert_eq!(backoff.left(at(passed)), Duration::from_secs(seconds));
    }
}
