//! What the caches show of a Job and its Pods, counted.
//!
//! A Pod is tracked by a finalizer until it has been counted: only tracked Pods are counted here, beside what the
//! status says was counted before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::backoff::{Backoff, finished_at};
use super::failure_policy::{Judgement, judge};
use super::indexes::{Indexes, index_of};
use super::terms::Terms;
use crate::objects::claim::JOB_TRACKING;
use crate::objects::meta::uid;
use crate::objects::pods::{is_active, is_ready, is_succeeded, is_terminal, is_terminating};

/// The annotation of a Pod that counts the failures of its index before it.
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// The annotation of a Pod that counts the ignored ones among them.
pub(super) const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// What a plan is made from.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) job: &'a Job,
    /// The Pods that belong to the Job.
    pub(super) pods: &'a [Arc<Pod>],
    /// The Pods that are no longer tracked, whatever the cache shows.
    pub(super) released: &'a HashSet<String>,
    /// The failures in a row until the last count.
    pub(super) backoff: Backoff,
    /// Whether the cache shows all Pods that were made and deleted.
    pub(super) settled: bool,
}

/// See the module's documentation.
pub(super) struct Facts<'a> {
    pub(super) world: World<'a>,
    pub(super) terms: Terms<'a>,
    pub(super) active: Vec<Arc<Pod>>,
    pub(super) ready: usize,
    pub(super) terminating: usize,
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    pub(super) succeeded_indexes: Indexes,
    pub(super) failed_indexes: Option<Indexes>,
    /// Of each index that waits for its next Pod the last one that failed, whose annotations the next one continues.
    pub(super) last_failed: HashMap<usize, Arc<Pod>>,
    pub(super) backoff: Backoff,
}

impl<'a> Facts<'a> {
    /// Counts; nothing if the Job has no spec.
    pub(super) fn gather(world: World<'a>) -> Option<Self> {
        let terms = Terms::of(world.job)?;
        let active: Vec<_> = world.pods.iter().filter(|pod| is_active(pod)).cloned().collect();
        let ending = |pod: &&Arc<Pod>| is_terminating(pod) && !is_terminal(pod);
        let mut facts = Self {
            ready: active.iter().filter(|pod| is_ready(pod)).count(),
            terminating: world.pods.iter().filter(ending).count(),
            active,
            succeeded: 0,
            failed: 0,
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            last_failed: HashMap::new(),
            backoff: world.backoff,
            world,
            terms,
        };
        facts.count();
        if facts.terms.indexed {
            facts.count_indexes();
        }
        Some(facts)
    }

    fn count(&mut self) {
        let uncounted = Uncounted::of(self.status());
        let fresh = |pod: &&Arc<Pod>| self.is_tracked(pod) && self.is_valid(pod) && !uncounted.has(pod);
        let fresh: Vec<_> = self.world.pods.iter().filter(fresh).cloned().collect();
        let (succeeded, rest): (Vec<_>, Vec<_>) = fresh.into_iter().partition(|pod| is_succeeded(pod));
        let failed: Vec<_> = rest.into_iter().filter(|pod| self.is_failed(pod)).collect();
        let counting = failed.iter().filter(|pod| judge(self.terms.failure_policy, pod).counts()).count();
        self.backoff = self.world.backoff.after(&succeeded, &failed);
        let status = self.status();
        let before = |count: Option<i32>| usize::try_from(count.unwrap_or(0)).unwrap_or(0);
        let counts = (before(status.and_then(|s| s.succeeded)), before(status.and_then(|s| s.failed)));
        self.succeeded = counts.0 + succeeded.len() + uncounted.succeeded.len();
        self.failed = counts.1 + counting + uncounted.failed.len();
    }

    fn count_indexes(&mut self) {
        let bound = self.terms.indexes();
        let written = |text: Option<&String>| Indexes::parse(text.map_or("", |text| text), bound);
        let uncounted = Uncounted::of(self.status());
        let tracked = self.world.pods.iter().filter(|pod| self.is_tracked(pod) && self.is_valid(pod));
        let tracked: Vec<_> = tracked.collect();
        let successes = tracked.iter().filter(|pod| is_succeeded(pod) && !uncounted.has_failed(pod));
        let fresh: Indexes = successes.filter_map(|pod| index_of(pod)).collect();
        let recorded = written(self.status().and_then(|status| status.completed_indexes.as_ref()));
        let succeeded_indexes = recorded.union(&fresh);
        let failed_indexes = self.terms.backoff_limit_per_index.map(|limit| {
            let failures = tracked.iter().filter(|pod| self.fails_index(pod, limit));
            let fresh: Indexes = failures.filter_map(|pod| index_of(pod)).collect();
            written(self.status().and_then(|status| status.failed_indexes.as_ref())).union(&fresh)
        });
        self.succeeded = succeeded_indexes.len();
        self.succeeded_indexes = succeeded_indexes;
        if let Some(failed) = failed_indexes {
            self.last_failed = self.last_failed(&failed);
            self.failed_indexes = Some(failed);
        }
    }

    fn last_failed(&self, failed: &Indexes) -> HashMap<usize, Arc<Pod>> {
        let active: HashSet<_> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
        let mut last = HashMap::<usize, Arc<Pod>>::new();
        for pod in self.world.pods.iter().filter(|pod| self.is_tracked(pod) && self.is_failed(pod)) {
            let Some(index) = index_of(pod).filter(|index| *index < self.terms.indexes()) else { continue };
            if self.succeeded_indexes.has(index) || failed.has(index) || active.contains(&index) {
                continue;
            }
            let rank =
                |pod: &Pod| (failures_of_index(pod) + ignored_failures_of_index(pod), finished_at(pod));
            if last.get(&index).is_none_or(|before| rank(before) <= rank(pod)) {
                last.insert(index, pod.clone());
            }
        }
        last
    }

    fn fails_index(&self, pod: &Pod, limit: i32) -> bool {
        self.is_failed(pod)
            && match judge(self.terms.failure_policy, pod) {
                Judgement::FailIndex => true,
                Judgement::Ignore => false,
                Judgement::Count | Judgement::FailJob(_) => failures_of_index(pod) >= i64::from(limit),
            }
    }

    /// What the Job's status says.
    pub(super) fn status(&self) -> Option<&'a JobStatus> {
        self.world.job.status.as_ref()
    }

    /// Whether the Job itself is being deleted.
    pub(super) fn is_going(&self) -> bool {
        self.world.job.metadata.deletion_timestamp.is_some()
    }

    /// Whether the Pod has not been counted to the end.
    pub(super) fn is_tracked(&self, pod: &Pod) -> bool {
        has_finalizer(pod) && !self.world.released.contains(uid(&pod.metadata))
    }

    /// Whether the Pod counts as failed. One that is being deleted does unless the Job waits for its end: it may never
    /// get to say how it ended.
    pub(super) fn is_failed(&self, pod: &Pod) -> bool {
        let phase_failed = is_terminal(pod) && !is_succeeded(pod);
        phase_failed || !self.terms.replaces_failed_only && is_terminating(pod) && !is_succeeded(pod)
    }

    /// Whether the Pod works on something the Job asks for.
    pub(super) fn is_valid(&self, pod: &Pod) -> bool {
        !self.terms.indexed || index_of(pod).is_some_and(|index| index < self.terms.indexes())
    }
}

/// The Pods that the status says are to be counted.
#[derive(Default)]
pub(super) struct Uncounted<'a> {
    succeeded: HashSet<&'a str>,
    failed: HashSet<&'a str>,
}

impl<'a> Uncounted<'a> {
    pub(super) fn of(status: Option<&'a JobStatus>) -> Self {
        let Some(lists) = status.and_then(|status| status.uncounted_terminated_pods.as_ref()) else {
            return Self::default();
        };
        let set = |list: &'a Option<Vec<String>>| list.iter().flatten().map(String::as_str).collect();
        Self { succeeded: set(&lists.succeeded), failed: set(&lists.failed) }
    }

    pub(super) fn has(&self, pod: &Pod) -> bool {
        self.succeeded.contains(uid(&pod.metadata)) || self.has_failed(pod)
    }

    pub(super) fn has_failed(&self, pod: &Pod) -> bool {
        self.failed.contains(uid(&pod.metadata))
    }
}

/// Whether the finalizer keeps the Pod.
pub(super) fn has_finalizer(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == JOB_TRACKING)
}

/// How often the Pod's index failed before it.
pub(super) fn failures_of_index(pod: &Pod) -> i64 {
    counted(pod, FAILURES)
}

/// How many failures of the Pod's index before it were ignored.
pub(super) fn ignored_failures_of_index(pod: &Pod) -> i64 {
    counted(pod, IGNORED)
}

/// A number that anybody may have written.
fn counted(pod: &Pod, annotation: &str) -> i64 {
    let text = pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation));
    text.and_then(|text| text.parse::<i32>().ok()).filter(|count| *count >= 0).map_or(0, i64::from)
}
