//! What the runtimes run now, by pod.
//!
//! [`Containers`] keeps the last answer of every runtime's `list`, reads it again when a runtime says that something
//! changed or when a worker has changed something, and wakes the workers whose containers differ. Reads that are
//! asked for while one is under way share the next one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wherry_runtime_api::{ContainerState, ContainerStatus, Runtime, RuntimeError};

use crate::runtimes::{Handler, Runtimes};
use crate::wakers::Wakers;

/// One container and the runtime it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// The runtime that answered for it.
    pub(crate) handler: Handler,
    /// What the runtime said.
    pub(crate) status: ContainerStatus,
}

impl Running {
    /// Whether its program runs.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.status.state, ContainerState::Running { .. })
    }
}

type ByPod = HashMap<String, Vec<Running>>;

/// The containers of all pods.
pub(crate) struct Containers {
    runtimes: Runtimes,
    wakers: Wakers,
    by_pod: RwLock<ByPod>,
    /// Counts completed reads; also tells log followers that something changed.
    reads: watch::Sender<u64>,
    reading: Mutex<()>,
}

impl Containers {
    /// A view of nothing; call [`Containers::refresh`] before using it.
    pub(crate) fn new(runtimes: Runtimes, wakers: Wakers) -> Arc<Self> {
        let (reads, _) = watch::channel(0);
        Arc::new(Self { runtimes, wakers, by_pod: RwLock::default(), reads, reading: Mutex::default() })
    }

    /// The containers of the pod, those of one name from the oldest attempt to the newest.
    pub(crate) fn of_pod(&self, uid: &str) -> Vec<Running> {
        self.by_pod.read().get(uid).cloned().unwrap_or_default()
    }

    /// The pods that have containers.
    pub(crate) fn pods(&self) -> BTreeSet<String> {
        self.by_pod.read().keys().cloned().collect()
    }

    /// The digests of the images that containers have.
    pub(crate) fn images(&self) -> BTreeSet<String> {
        let by_pod = self.by_pod.read();
        by_pod.values().flatten().map(|running| running.status.image_digest.clone()).collect()
    }

    /// A receiver that changes whenever the view was read again.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.reads.subscribe()
    }

    /// Reads all runtimes; returns once a read that began after this call is complete.
    pub(crate) async fn refresh(&self) {
        let asked_at = *self.reads.borrow();
        let _turn = self.reading.lock().await;
        // A read that began after the call bumps the counter twice past it only if another waiter did the work.
        if *self.reads.borrow() > asked_at + 1 {
            return;
        }
        let fresh = self.read_all().await;
        let changed = self.replace(fresh);
        self.reads.send_modify(|count| *count += 1);
        for uid in changed {
            self.wakers.wake(&uid);
        }
    }

    async fn read_all(&self) -> ByPod {
        let mut fresh = ByPod::new();
        for (handler, runtime) in self.runtimes.all() {
            match runtime.list().await {
                Ok(list) => {
                    for status in list {
                        fresh
                            .entry(status.id.sandbox.0.clone())
                            .or_default()
                            .push(Running { handler, status });
                    }
                }
                Err(error) => self.keep_known(handler, &error, &mut fresh),
            }
        }
        for containers in fresh.values_mut() {
            containers.sort_by(|a, b| a.status.id.cmp(&b.status.id));
        }
        fresh
    }

    /// A runtime that does not answer now has not lost its containers.
    fn keep_known(&self, handler: Handler, error: &RuntimeError, fresh: &mut ByPod) {
        warn!(%handler, error = %error, "cannot list containers");
        for (uid, containers) in self.by_pod.read().iter() {
            let known = containers.iter().filter(|c| c.handler == handler).cloned();
            fresh.entry(uid.clone()).or_default().extend(known);
        }
    }

    fn replace(&self, fresh: ByPod) -> Vec<String> {
        let mut current = self.by_pod.write();
        let mut changed: Vec<String> = fresh
            .iter()
            .filter(|(uid, list)| current.get(*uid) != Some(list))
            .map(|(uid, _)| uid.clone())
            .collect();
        changed.extend(current.keys().filter(|uid| !fresh.contains_key(*uid)).cloned());
        *current = fresh;
        changed
    }

    /// Reads again after every event of `runtime`, until `shutdown`.
    pub(crate) async fn follow(self: Arc<Self>, runtime: Arc<dyn Runtime>, shutdown: CancellationToken) {
        let mut events = runtime.events();
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => event,
            };
            match event {
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    // What is queued now is covered by the read that follows.
                    while events.try_recv().is_ok() {}
                    self.refresh().await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}
