//! Whether a Job has come to its end, and why.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::facts::Facts;
use super::failure_policy::{Judgement, judge};
use super::success_policy;
use crate::objects::jobs::condition_of;
use crate::objects::pods::is_terminal;

/// The reasons there are for a failure.
const FAILURES: &[&str] = &[
    "PodFailurePolicy",
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "MaxFailedIndexesExceeded",
    "FailedIndexes",
];

/// How a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) success: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    fn failure(reason: &str, message: impl Into<String>) -> Self {
        Self { success: false, reason: reason.to_owned(), message: message.into() }
    }

    fn success(reason: &str, message: impl Into<String>) -> Self {
        Self { success: true, reason: reason.to_owned(), message: message.into() }
    }

    /// That the Job did all it was to do.
    pub(super) fn complete() -> Self {
        Self::success("CompletionsReached", "Reached expected number of succeeded pods")
    }

    /// The reason of the event that tells of a failure. What a status says is known or anything.
    pub(super) fn event(&self) -> &'static str {
        FAILURES.iter().find(|reason| **reason == self.reason).copied().unwrap_or("Failed")
    }

    /// The condition that says so while Pods are still going.
    pub(super) fn interim(&self) -> &'static str {
        if self.success { "SuccessCriteriaMet" } else { "FailureTarget" }
    }

    /// The condition that says so in the end.
    pub(super) fn last(&self) -> &'static str {
        if self.success { "Complete" } else { "Failed" }
    }
}

/// Decides whether the Job is to end before, or because, it is done. What was decided once is not decided again.
pub(super) fn verdict(facts: &Facts<'_>, now: Timestamp) -> Option<Verdict> {
    decided(facts)
        .or_else(|| by_failure_policy(facts))
        .or_else(|| by_limits(facts, now))
        .or_else(|| by_indexes(facts))
        .or_else(|| by_success_policy(facts))
}

fn decided(facts: &Facts<'_>) -> Option<Verdict> {
    let told = |type_: &str, success: bool| {
        let condition = condition_of(facts.status(), type_)?;
        Some(Verdict {
            success,
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        })
    };
    told("SuccessCriteriaMet", true).or_else(|| told("FailureTarget", false))
}

fn by_failure_policy(facts: &Facts<'_>) -> Option<Verdict> {
    let policy = facts.terms.failure_policy?;
    let failed = facts.world.pods.iter().filter(|pod| facts.is_failed(pod));
    let message = failed.map(|pod| judge(Some(policy), pod)).find_map(|judged| match judged {
        Judgement::FailJob(message) => Some(message),
        Judgement::Count | Judgement::Ignore | Judgement::FailIndex => None,
    })?;
    Some(Verdict::failure("PodFailurePolicy", message))
}

fn by_limits(facts: &Facts<'_>, now: Timestamp) -> Option<Verdict> {
    let limit = usize::try_from(facts.terms.backoff_limit).unwrap_or(0);
    if facts.failed > limit || too_many_restarts(facts) {
        return Some(Verdict::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    let over = deadline_in(facts, now).is_some_and(|left| left.is_zero());
    over.then(|| Verdict::failure("DeadlineExceeded", "Job was active longer than specified deadline"))
}

fn too_many_restarts(facts: &Facts<'_>) -> bool {
    let running = facts.world.pods.iter().filter(|pod| !is_terminal(pod));
    facts.terms.too_many_restarts.is_some_and(|many| running.map(|pod| restarts(pod)).sum::<i64>() >= many)
}

fn restarts(pod: &Pod) -> i64 {
    let Some(status) = &pod.status else { return 0 };
    let sum = |list: &Option<Vec<ContainerStatus>>| -> i64 {
        list.iter().flatten().map(|container| i64::from(container.restart_count)).sum()
    };
    sum(&status.init_container_statuses) + sum(&status.container_statuses)
}

/// How long until the Job has run for too long.
pub(super) fn deadline_in(facts: &Facts<'_>, now: Timestamp) -> Option<Duration> {
    let deadline = facts.terms.deadline.filter(|_| !facts.terms.suspended)?;
    let begun = facts.status().and_then(|status| status.start_time.as_ref()).map_or(now, |time| time.0);
    let deadline = SignedDuration::try_from(deadline).unwrap_or(SignedDuration::MAX);
    let left = deadline.saturating_sub(now.duration_since(begun));
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

fn by_indexes(facts: &Facts<'_>) -> Option<Verdict> {
    let failed = facts.failed_indexes.as_ref()?.len();
    if facts.terms.max_failed_indexes.is_some_and(|most| failed > most) {
        return Some(Verdict::failure(
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        ));
    }
    let done = failed > 0 && failed + facts.succeeded_indexes.len() >= facts.terms.indexes();
    done.then(|| Verdict::failure("FailedIndexes", "Job has failed indexes"))
}

fn by_success_policy(facts: &Facts<'_>) -> Option<Verdict> {
    let policy = facts.terms.success_policy.filter(|_| facts.terms.indexed)?;
    let message = success_policy::met(policy, &facts.succeeded_indexes, facts.terms.indexes())?;
    Some(Verdict::success("SuccessPolicy", message))
}
