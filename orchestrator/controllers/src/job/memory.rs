//! What the controller remembers of its Jobs between runs. It loses that when it stops, and nothing is counted wrong
//! then: the caches are filled anew.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use super::backoff::Backoff;
use super::facts::has_finalizer;
use crate::objects::meta::{Key, controller_key, uid};
use crate::objects::pods::is_terminating;
use crate::runtime::cache::Change;
use crate::runtime::expectations::Expectations;
use crate::runtime::objects::revision;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Memory {
    /// The Pods that were made or deleted and are not seen to be yet.
    pub(super) expectations: Expectations,
    jobs: Mutex<HashMap<Key, Remembered>>,
}

#[derive(Default)]
struct Remembered {
    backoff: Backoff,
    /// The Pods that were released and are not seen to be yet.
    released: HashSet<String>,
    /// The revision of the status that was written last.
    written: u64,
}

impl Memory {
    /// The failures in a row until the last count.
    pub(super) fn backoff(&self, key: &Key) -> Backoff {
        self.jobs.lock().get(key).map(|job| job.backoff).unwrap_or_default()
    }

    pub(super) fn remember_backoff(&self, key: &Key, backoff: Backoff) {
        self.jobs.lock().entry(key.clone()).or_default().backoff = backoff;
    }

    /// The Pods that are tracked no more although the cache may show them so.
    pub(super) fn released(&self, key: &Key) -> HashSet<String> {
        self.jobs.lock().get(key).map(|job| job.released.clone()).unwrap_or_default()
    }

    pub(super) fn release(&self, key: &Key, uid: &str) {
        self.jobs.lock().entry(key.clone()).or_default().released.insert(uid.to_owned());
    }

    /// The Pod was seen without its finalizer, or may still have it.
    pub(super) fn forget_released(&self, key: &Key, uid: &str) {
        if let Some(job) = self.jobs.lock().get_mut(key) {
            job.released.remove(uid);
        }
    }

    pub(super) fn wrote(&self, key: &Key, job: &Job) {
        self.jobs.lock().entry(key.clone()).or_default().written = revision(job);
    }

    /// Whether the Job is older than the one that was written last.
    pub(super) fn is_behind(&self, key: &Key, job: &Job) -> bool {
        self.jobs.lock().get(key).is_some_and(|before| revision(job) < before.written)
    }

    /// Forgets a Job that is gone or over.
    pub(super) fn forget(&self, key: &Key) {
        self.expectations.forget(key);
        self.jobs.lock().remove(key);
    }

    /// Takes note of what the watch shows of a Pod.
    pub(super) fn observe(&self, change: &Change<'_, Pod>) {
        let Some(pod) = change.last() else { return };
        for key in change.both().filter_map(|pod| controller_key::<Job>(&pod.metadata)) {
            if change.new.is_none() || is_terminating(pod) {
                self.expectations.deleted(&key, uid(&pod.metadata));
            }
            if change.new.is_none() || !has_finalizer(pod) {
                self.forget_released(&key, uid(&pod.metadata));
            }
        }
    }
}
