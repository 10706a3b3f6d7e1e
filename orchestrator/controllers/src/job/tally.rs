//! The counting of Pods that ended: never twice and none forgotten, whenever the controller stops.
//!
//! ```text
//!  tracked by the finalizer --(1) status--> also in uncountedTerminatedPods --(2) Pod--> no longer tracked
//!                                                             |                                  |
//!                                                             +------------(3) status------------+--> counted
//! ```
//!
//! Guarantees: each arrow is one write, and a Pod is counted exactly when its id leaves the list, which happens in the
//! write that counts it. A write of the status that rests on an older status is refused by the API. An index that
//! succeeded needs no id: the set of indexes counts it once.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::{Facts, Uncounted};
use super::failure_policy::judge;
use super::indexes::index_of;
use super::plan::Plan;
use super::scale::Change;
use super::verdict::Verdict;
use crate::objects::jobs::{condition_of, ensure_condition};
use crate::objects::meta::uid;
use crate::objects::pods::is_succeeded;

/// The most Pods on their way to be counted; their ids stay below 20 KB.
const MOST: usize = 500;

/// What the change of Pods came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) active: usize,
    pub(super) ready: usize,
    pub(super) terminating: usize,
}

/// See the module's documentation.
pub(super) struct Tally {
    /// The status to write before any Pod is released.
    pub(super) status: JobStatus,
    /// The Pods to release then.
    pub(super) release: Vec<Arc<Pod>>,
    /// Whether the Job was suspended or resumed.
    pub(super) suspension: Option<bool>,
    verdict: Option<Verdict>,
    tracked: HashSet<String>,
    /// Whether Pods are left for another time.
    capped: bool,
    terminating: usize,
}

/// Counts after the Pods were changed.
pub(super) fn tally(plan: &Plan<'_>, done: Done, now: Timestamp) -> Tally {
    let facts = &plan.facts;
    let tracked = facts.world.pods.iter().filter(|pod| facts.is_tracked(pod));
    let mut tally = Tally {
        status: facts.status().cloned().unwrap_or_default(),
        release: Vec::new(),
        suspension: None,
        verdict: verdict(plan, done),
        tracked: tracked.map(|pod| uid(&pod.metadata).to_owned()).collect(),
        capped: false,
        terminating: done.terminating,
    };
    tally.begin(plan, now);
    tally.status.active = not_zero(done.active);
    tally.status.ready = Some(number(done.ready));
    tally.status.terminating = Some(number(done.terminating));
    count_gone(&mut tally.status, &tally.tracked);
    tally.gather(facts);
    if facts.terms.indexed {
        tally.status.succeeded = not_zero(facts.succeeded_indexes.len());
        tally.status.completed_indexes =
            Some(facts.succeeded_indexes.to_string()).filter(|text| !text.is_empty());
        tally.status.failed_indexes = facts.failed_indexes.as_ref().map(ToString::to_string);
    }
    if let Some(verdict) = tally.verdict.clone()
        && condition_of(Some(&tally.status), verdict.interim()).is_none()
    {
        ensure_condition(
            &mut tally.status,
            verdict.interim(),
            true,
            (&verdict.reason, &verdict.message),
            now,
        );
    }
    tally
}

/// How the Job ends, unless there are, or could be, Pods that should be gone.
fn verdict(plan: &Plan<'_>, done: Done) -> Option<Verdict> {
    if !plan.facts.world.settled {
        return None;
    }
    if let Some(verdict) = &plan.verdict {
        // How a Pod ended that is told to go just now is not seen yet.
        return (plan.change == Change::Nothing).then(|| verdict.clone());
    }
    let enough = plan.facts.terms.completions.unwrap_or(1);
    let complete = plan.facts.succeeded >= enough && done.active == 0;
    complete.then(Verdict::complete)
}

impl Tally {
    /// Says since when the Job runs, and whether it is suspended.
    fn begin(&mut self, plan: &Plan<'_>, now: Timestamp) {
        let suspended = plan.facts.terms.suspended;
        self.status.uncounted_terminated_pods.get_or_insert_default();
        if !suspended {
            self.status.start_time.get_or_insert(Time(now));
        }
        if self.verdict.is_some() || !plan.scaled {
            return;
        }
        let told = if suspended { ("JobSuspended", "Job suspended") } else { ("JobResumed", "Job resumed") };
        if ensure_condition(&mut self.status, "Suspended", suspended, told, now) {
            self.suspension = Some(suspended);
            self.status.start_time = (!suspended).then_some(Time(now));
        }
    }

    /// Collects the Pods to release, and the ids of those to be counted.
    fn gather(&mut self, facts: &Facts<'_>) {
        let mut pods: Vec<_> = facts.world.pods.iter().filter(|pod| facts.is_tracked(pod)).collect();
        if facts.terms.indexed {
            pods.sort_by_key(|pod| index_of(pod));
        }
        let uncounted = Uncounted::of(facts.status());
        let lists = self.status.uncounted_terminated_pods.get_or_insert_default();
        let mut waiting = lists.succeeded.iter().chain(&lists.failed).map(Vec::len).sum::<usize>();
        let stopped = self.verdict.as_ref().is_some_and(|verdict| !verdict.success);
        let over = facts.is_going() || self.verdict.is_some();
        for pod in pods {
            let failed = facts.is_failed(pod);
            if !(over || is_succeeded(pod) || failed && !held(facts, pod)) {
                continue;
            }
            self.release.push(pod.clone());
            let counts = facts.is_valid(pod) && !uncounted.has(pod);
            if counts && is_succeeded(pod) {
                waiting += 1;
                if !facts.terms.indexed {
                    lists.succeeded.get_or_insert_default().push(uid(&pod.metadata).to_owned());
                }
            } else if counts && (failed || stopped) && judge(facts.terms.failure_policy, pod).counts() {
                waiting += 1;
                lists.failed.get_or_insert_default().push(uid(&pod.metadata).to_owned());
            }
            if waiting >= MOST {
                self.capped = true;
                break;
            }
        }
    }

    /// Counts what was released, in the status as it was written, and ends the Job if nothing is left to count.
    pub(super) fn settle(
        mut self,
        mut status: JobStatus,
        released: &HashSet<String>,
        now: Timestamp,
    ) -> (JobStatus, Option<Verdict>) {
        self.tracked.retain(|uid| !released.contains(uid));
        count_gone(&mut status, &self.tracked);
        let left = status.uncounted_terminated_pods.as_ref();
        let none_left = left.is_none_or(|lists| lists.succeeded.is_none() && lists.failed.is_none());
        let all_released = self.release.iter().all(|pod| released.contains(uid(&pod.metadata)));
        let ready = none_left && all_released && !self.capped && self.terminating == 0;
        let Some(verdict) = self.verdict.filter(|_| ready) else { return (status, None) };
        ensure_condition(&mut status, verdict.last(), true, (&verdict.reason, &verdict.message), now);
        if verdict.success {
            status.completion_time = Some(Time(now));
        }
        (status, Some(verdict))
    }
}

/// Whether the Pod stays until the next one of its index, which continues its annotations, is there.
fn held(facts: &Facts<'_>, pod: &Pod) -> bool {
    let of_index = index_of(pod).and_then(|index| facts.last_failed.get(&index));
    of_index.is_some_and(|held| held.metadata.uid == pod.metadata.uid)
}

/// Counts the Pods that were to be counted and are tracked no more.
fn count_gone(status: &mut JobStatus, tracked: &HashSet<String>) {
    let Some(lists) = &mut status.uncounted_terminated_pods else { return };
    let count = |list: &mut Option<Vec<String>>, counter: &mut Option<i32>| {
        let Some(uids) = list else { return };
        let before = uids.len();
        uids.retain(|uid| tracked.contains(uid));
        let gone = number(before - uids.len());
        if gone > 0 {
            *counter = Some(counter.unwrap_or(0).saturating_add(gone));
        }
        if uids.is_empty() {
            *list = None;
        }
    };
    count(&mut lists.succeeded, &mut status.succeeded);
    count(&mut lists.failed, &mut status.failed);
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Counts are left out when they are zero, as upstream does.
fn not_zero(count: usize) -> Option<i32> {
    (count > 0).then(|| number(count))
}
