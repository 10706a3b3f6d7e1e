//! Pods that are to end because the node is short: who decides it tells the worker of the Pod here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::wakers::Wakers;

/// The end of a Pod that the node decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// Why.
    pub(crate) message: String,
    /// How long its containers may take.
    pub(crate) grace: Duration,
}

impl Eviction {
    /// How long containers may take where nothing can wait: as little as lets a program hear of it.
    pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);
}

/// Evictions by the uid of the Pod.
#[derive(Clone, Debug)]
pub(crate) struct Evictions {
    by_pod: Arc<Mutex<HashMap<String, Eviction>>>,
    wakers: Wakers,
}

impl Evictions {
    /// None yet; workers are woken by `wakers`.
    pub(crate) fn new(wakers: Wakers) -> Self {
        Self { by_pod: Arc::default(), wakers }
    }

    /// Has the Pod ended.
    pub(super) fn order(&self, uid: &str, eviction: Eviction) {
        self.by_pod.lock().entry(uid.to_owned()).or_insert(eviction);
        self.wakers.wake(uid);
    }

    /// Why the Pod is to end, if it is.
    pub(crate) fn of(&self, uid: &str) -> Option<Eviction> {
        self.by_pod.lock().get(uid).cloned()
    }

    /// Forgets a Pod that is gone.
    pub(crate) fn release(&self, uid: &str) {
        self.by_pod.lock().remove(uid);
    }
}
