//! What a controller has asked for and its cache does not show yet.
//!
//! Flow: before creating or deleting Pods the controller raises expectations of its key. A Pod that was created is noted in
//! the cache and expected no more; one that was deleted is expected to go until the watch's handlers see it going. While
//! any are open the controller does not count Pods.
//!
//! Guarantees: a cache that lags behind never makes a controller create or delete twice. A request whose outcome is
//! unknown stays expected until somebody looks, or the expectation expires.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::cache::Change;
use crate::objects::meta::{Key, controller_key, uid};
use crate::objects::pods::is_terminating;

/// After this long without news a key is trusted again.
const EXPIRY: Duration = Duration::from_mins(5);

#[derive(Default)]
struct Open {
    creates: usize,
    deletes: HashSet<String>,
    since: Option<Instant>,
    /// Whether an answer was lost, so that some of it may never happen.
    doubtful: bool,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Expectations(Mutex<HashMap<Key, Open>>);

impl Expectations {
    /// How long until `key` may be counted again: `None` if it may be now.
    pub(crate) fn open(&self, key: &Key) -> Option<Duration> {
        let all = self.0.lock();
        let open = all.get(key)?;
        if open.creates == 0 && open.deletes.is_empty() {
            return None;
        }
        let age = open.since.map_or(Duration::ZERO, |since| since.elapsed());
        EXPIRY.checked_sub(age).filter(|left| !left.is_zero())
    }

    /// Expects this many Pods to be created and those of these uids to go. Whoever expects has seen nothing open.
    pub(crate) fn expect(&self, key: &Key, creates: usize, deletes: impl Iterator<Item = String>) {
        let open = Open { creates, deletes: deletes.collect(), since: Some(Instant::now()), doubtful: false };
        self.0.lock().insert(key.clone(), open);
    }

    /// It is not known whether all that is expected was done.
    pub(crate) fn doubt(&self, key: &Key) {
        if let Some(open) = self.0.lock().get_mut(key) {
            open.doubtful = true;
        }
    }

    /// Whether something is open that may never happen.
    pub(crate) fn is_doubtful(&self, key: &Key) -> bool {
        let all = self.0.lock();
        all.get(key).is_some_and(|open| open.doubtful && (open.creates > 0 || !open.deletes.is_empty()))
    }

    /// Some of the expected Pods were created, as the cache shows, or will not be.
    pub(crate) fn created(&self, key: &Key, count: usize) {
        if let Some(open) = self.0.lock().get_mut(key) {
            open.creates = open.creates.saturating_sub(count);
        }
    }

    /// The Pod of this uid is going or gone, or will not go.
    pub(crate) fn deleted(&self, key: &Key, uid: &str) {
        if let Some(open) = self.0.lock().get_mut(key) {
            open.deletes.remove(uid);
        }
    }

    /// Takes note of what the watch shows of a Pod that an `O` manages.
    pub(crate) fn observe<O: Resource<DynamicType = ()>>(&self, change: &Change<'_, Pod>) {
        let Some(pod) = change.last().filter(|pod| change.new.is_none() || is_terminating(pod)) else {
            return;
        };
        if let Some(key) = controller_key::<O>(&pod.metadata) {
            self.deleted(&key, uid(&pod.metadata));
        }
    }

    /// Drops all expectations of a key whose object is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn open_until_all_is_seen() {
        let (all, key) = (Expectations::default(), Key::new("ns", "a"));
        assert_eq!(all.open(&key), None);
        all.expect(&key, 2, std::iter::empty());
        all.created(&key, 1);
        assert!(all.open(&key).is_some());
        all.created(&key, 1);
        assert_eq!(all.open(&key), None);
        all.expect(&key, 0, ["x".to_owned()].into_iter());
        all.deleted(&key, "another");
        assert!(all.open(&key).is_some());
        all.deleted(&key, "x");
        assert_eq!(all.open(&key), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_expires() {
        let (all, key) = (Expectations::default(), Key::new("ns", "a"));
        all.expect(&key, 1, std::iter::empty());
        assert_eq!(all.open(&key), Some(EXPIRY));
        tokio::time::advance(EXPIRY).await;
        assert_eq!(all.open(&key), None);
    }
}
