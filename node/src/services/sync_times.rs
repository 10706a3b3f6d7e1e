//! How long it takes until changes of Services are in force, counted as kube-proxy counts it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// How many buckets there are besides the one of all.
pub(crate) const BUCKETS: usize = 15;

/// The longest time of a bucket: from a millisecond on, each twice the one before.
pub(crate) fn limit(bucket: usize) -> Duration {
    Duration::from_millis(1 << bucket)
}

/// The times of one node; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct SyncTimes(Arc<Mutex<Counted>>);

/// What was counted until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// How many took at most as long as each bucket's limit.
    pub(crate) within: [u64; BUCKETS],
    /// How many there were.
    pub(crate) count: u64,
    /// How long they took together.
    pub(crate) total: Duration,
}

impl SyncTimes {
    /// Counts one.
    pub(super) fn note(&self, took: Duration) {
        let mut counted = self.0.lock();
        counted.count += 1;
        counted.total += took;
        for (bucket, within) in counted.within.iter_mut().enumerate() {
            *within += u64::from(took <= limit(bucket));
        }
    }

    /// What was counted until now.
    pub(crate) fn counted(&self) -> Counted {
        *self.0.lock()
    }
}
