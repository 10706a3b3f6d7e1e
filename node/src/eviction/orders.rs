//! Pods that the node is to end, because it is short or shuts down: who decides it tells the worker of the Pod here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::wakers::Wakers;

/// The end of a Pod that the node decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// What the Pod's status says in one word.
    pub(crate) reason: &'static str,
    /// Why.
    pub(crate) message: String,
    /// How long its containers may take.
    pub(crate) grace: Duration,
}

impl Eviction {
    /// The reason where the Pod takes too much.
    pub(crate) const EVICTED: &str = "Evicted";
    /// The reason where the node shuts down.
    pub(crate) const TERMINATED: &str = "Terminated";
    /// How long containers may take where nothing can wait: as little as lets a program hear of it.
    pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);
}

/// Evictions by the uid of the Pod.
#[derive(Clone, Debug)]
pub(crate) struct Evictions {
    by_pod: Arc<Mutex<HashMap<String, Order>>>,
    /// Told of every Pod that is over.
    ends: watch::Sender<()>,
    wakers: Wakers,
}

#[derive(Debug)]
struct Order {
    eviction: Eviction,
    is_over: bool,
}

impl Evictions {
    /// None yet; workers are woken by `wakers`.
    pub(crate) fn new(wakers: Wakers) -> Self {
        Self { by_pod: Arc::default(), ends: watch::Sender::new(()), wakers }
    }

    /// Has the Pod ended.
    pub(crate) fn order(&self, uid: &str, eviction: Eviction) {
        self.by_pod.lock().entry(uid.to_owned()).or_insert(Order { eviction, is_over: false });
        self.wakers.wake(uid);
    }

    /// Why the Pod is to end, if it is.
    pub(crate) fn of(&self, uid: &str) -> Option<Eviction> {
        self.by_pod.lock().get(uid).map(|order| order.eviction.clone())
    }

    /// Notes that nothing of the Pod is left, and that everybody was told.
    pub(crate) fn over(&self, uid: &str) {
        let mut by_pod = self.by_pod.lock();
        if let Some(order) = by_pod.get_mut(uid).filter(|order| !order.is_over) {
            order.is_over = true;
            self.ends.send_replace(());
        }
    }

    /// Waits until all these Pods are over.
    pub(crate) async fn until_over(&self, uids: &[String]) {
        let are_over = |(): &()| {
            let by_pod = self.by_pod.lock();
            uids.iter().all(|uid| by_pod.get(uid).is_none_or(|order| order.is_over))
        };
        // It does not end before us, who hold a sender.
        self.ends.subscribe().wait_for(are_over).await.ok();
    }

    /// Forgets a Pod that is gone.
    pub(crate) fn release(&self, uid: &str) {
        if self.by_pod.lock().remove(uid).is_some() {
            self.ends.send_replace(());
        }
    }
}
