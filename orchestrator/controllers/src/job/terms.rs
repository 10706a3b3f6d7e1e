//! What a Job asks for, with what it leaves out filled in.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, PodFailurePolicy, SuccessPolicy};

/// See the module's documentation.
pub(super) struct Terms<'a> {
    /// How many Pods may run at a time.
    pub(super) parallelism: usize,
    /// How many Pods must succeed; none leaves it to the first one that does.
    pub(super) completions: Option<usize>,
    /// Whether each Pod works on an index of its own.
    pub(super) indexed: bool,
    pub(super) backoff_limit: i32,
    pub(super) backoff_limit_per_index: Option<i32>,
    pub(super) max_failed_indexes: Option<usize>,
    pub(super) suspended: bool,
    pub(super) deadline: Option<Duration>,
    /// Whether a Pod is replaced only when it has ended, not already when it is told to.
    pub(super) replaces_failed_only: bool,
    pub(super) failure_policy: Option<&'a PodFailurePolicy>,
    pub(super) success_policy: Option<&'a SuccessPolicy>,
    /// How many restarts of containers are too many, if Pods start them again by themselves.
    pub(super) too_many_restarts: Option<i64>,
}

impl<'a> Terms<'a> {
    pub(super) fn of(job: &'a Job) -> Option<Self> {
        let spec = job.spec.as_ref()?;
        let count = |number: i32| usize::try_from(number).unwrap_or(0);
        let indexed = spec.completion_mode.as_deref() == Some("Indexed");
        let template = spec.template.spec.as_ref();
        let restarts = template.and_then(|spec| spec.restart_policy.as_deref()) == Some("OnFailure");
        let backoff_limit = spec.backoff_limit.unwrap_or(6);
        let waits = spec.pod_replacement_policy.as_deref() == Some("Failed");
        Some(Self {
            parallelism: spec.parallelism.map_or(1, count),
            completions: spec.completions.map(count),
            indexed,
            backoff_limit,
            backoff_limit_per_index: spec.backoff_limit_per_index.filter(|_| indexed),
            max_failed_indexes: spec.max_failed_indexes.map(count),
            suspended: spec.suspend.unwrap_or(false),
            deadline: spec
                .active_deadline_seconds
                .map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or(0))),
            replaces_failed_only: waits || spec.pod_failure_policy.is_some(),
            failure_policy: spec.pod_failure_policy.as_ref(),
            success_policy: spec.success_policy.as_ref(),
            too_many_restarts: restarts.then_some(i64::from(backoff_limit.max(1))),
        })
    }

    /// The bound of the indexes; zero if there are none.
    pub(super) fn indexes(&self) -> usize {
        self.completions.filter(|_| self.indexed).unwrap_or(0)
    }
}
