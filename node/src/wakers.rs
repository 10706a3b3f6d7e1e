//! How Pod workers are woken.
//!
//! A wake says "look again" and nothing else: what is new is read from where it is kept, so wakes may be merged and
//! an extra one does no harm. The one thing remembered is whether a referenced object changed, because then
//! volumes are written again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The bell of one worker.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    notify: Notify,
    references: AtomicBool,
}

impl Waker {
    /// Makes the worker look again.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits until somebody woke the worker since the last wait.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Whether a referenced object changed since the last call.
    pub(crate) fn take_references_changed(&self) -> bool {
        self.references.swap(false, Ordering::AcqRel)
    }
}

/// The bells of all workers, by pod uid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakers(Arc<Mutex<HashMap<String, Arc<Waker>>>>);

impl Wakers {
    /// The waker of the pod, made if there is none.
    pub(crate) fn register(&self, uid: &str) -> Arc<Waker> {
        self.0.lock().entry(uid.to_owned()).or_default().clone()
    }

    /// Forgets the waker of a pod whose worker ended.
    pub(crate) fn unregister(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Wakes the worker of the pod, if there is one.
    pub(crate) fn wake(&self, uid: &str) {
        if let Some(waker) = self.0.lock().get(uid) {
            waker.wake();
        }
    }

    /// Wakes the worker of the pod and tells it that an object it refers to changed.
    pub(crate) fn wake_for_reference(&self, uid: &str) {
        if let Some(waker) = self.0.lock().get(uid) {
            waker.references.store(true, Ordering::Release);
            waker.wake();
        }
    }
}
