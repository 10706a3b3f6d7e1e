//! What the runtimes run now, by pod.
//!
//! [`Containers`] keeps the last answer of every runtime for each pod, asks again about a pod when a runtime says that something
//! of it changed or when its worker has changed something, and wakes the worker if its containers differ. What that costs does not
//! depend on how many pods there are. All pods are asked about together only when the agent starts and when events were lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wherry_runtime_api::{ContainerState, ContainerStatus, Runtime, RuntimeError, SandboxId};

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
    /// Counts completed reads, which tells log followers that something may have changed.
    reads: watch::Sender<u64>,
    /// One read at a time, so that none puts an older answer in the place of a newer one.
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

    /// Asks all runtimes about all pods.
    pub(crate) async fn refresh(&self) {
        let _turn = self.reading.lock().await;
        let mut fresh = ByPod::new();
        for (handler, runtime) in self.runtimes.all() {
            let found = self.or_known(handler, None, runtime.list().await);
            for running in found {
                fresh.entry(running.status.id.sandbox.0.clone()).or_default().push(running);
            }
        }
        for containers in fresh.values_mut() {
            sort(containers);
        }
        let changed = self.replace(fresh);
        self.tell(&changed);
    }

    /// Asks all runtimes about one pod.
    pub(crate) async fn refresh_pod(&self, uid: &str) {
        let _turn = self.reading.lock().await;
        let sandbox = SandboxId(uid.to_owned());
        let mut fresh = Vec::new();
        for (handler, runtime) in self.runtimes.all() {
            fresh.extend(self.or_known(handler, Some(uid), runtime.list_of(&sandbox).await));
        }
        sort(&mut fresh);
        let changed = self.replace_pod(uid, fresh);
        self.tell(if changed { std::slice::from_ref(&sandbox.0) } else { &[] });
    }

    /// What a runtime answered. One that does not answer now has not lost its containers, of all pods or of one.
    fn or_known(
        &self,
        handler: Handler,
        uid: Option<&str>,
        answer: Result<Vec<ContainerStatus>, RuntimeError>,
    ) -> Vec<Running> {
        let error = match answer {
            Ok(found) => return found.into_iter().map(|status| Running { handler, status }).collect(),
            Err(error) => error,
        };
        warn!(%handler, error = %error, "cannot list containers");
        let by_pod = self.by_pod.read();
        let known: Vec<&Running> = match uid {
            Some(uid) => by_pod.get(uid).into_iter().flatten().collect(),
            None => by_pod.values().flatten().collect(),
        };
        known.into_iter().filter(|running| running.handler == handler).cloned().collect()
    }

    /// Takes over what all pods have; the pods that have something else than they had.
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

    /// Takes over what a pod has; says whether it had something else.
    fn replace_pod(&self, uid: &str, fresh: Vec<Running>) -> bool {
        let mut current = self.by_pod.write();
        if current.get(uid).map_or(&[][..], Vec::as_slice) == fresh {
            return false;
        }
        if fresh.is_empty() {
            current.remove(uid);
        } else {
            current.insert(uid.to_owned(), fresh);
        }
        true
    }

    fn tell(&self, changed: &[String]) {
        self.reads.send_modify(|count| *count += 1);
        for uid in changed {
            self.wakers.wake(uid);
        }
    }

    /// Asks again about a pod after every event of `runtime` about it, until `shutdown`.
    pub(crate) async fn follow(self: Arc<Self>, runtime: Arc<dyn Runtime>, shutdown: CancellationToken) {
        let mut events = runtime.events();
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => event,
            };
            match event {
                Ok(event) => self.refresh_pod(&event.id.sandbox.0).await,
                Err(RecvError::Lagged(_)) => self.refresh().await,
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Those of one name from the oldest attempt to the newest.
fn sort(containers: &mut [Running]) {
    containers.sort_by(|a, b| a.status.id.cmp(&b.status.id));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt as _;
    use jiff::Timestamp;
    use proptest::prelude::*;
    use wherry_runtime_api::ContainerId;

    use super::*;
    use crate::testing;

    /// Which containers there are, by pod, name and runtime, and whether they run.
    type Model = BTreeMap<(u8, u8, bool), bool>;

    fn running(handler: bool, model: &Model) -> Vec<ContainerStatus> {
        let of = model.iter().filter(|((_, _, runtime), _)| *runtime == handler);
        of.map(|((pod, name, _), runs)| ContainerStatus {
            id: ContainerId { sandbox: SandboxId(format!("u{pod}")), name: format!("c{name}"), attempt: 0 },
            state: if *runs {
                ContainerState::Running { started_at: Timestamp::UNIX_EPOCH }
            } else {
                ContainerState::Created
            },
            image_digest: String::new(),
            user: None,
        })
        .collect()
    }

    fn view(containers: &Containers) -> Vec<Vec<Running>> {
        (0..3).map(|pod| containers.of_pod(&format!("u{pod}"))).collect()
    }

    proptest! {
        /// Asked pod by pod about what changed, the view is what it would be if all were read; and who changed was woken.
        #[test]
        fn a_view_of_each_pod_is_a_view_of_all(
            rounds in prop::collection::vec(prop::collection::btree_map((0..3_u8, 0..2_u8, any::<bool>()), any::<bool>(), 0..6), 1..6),
        ) {
            let (runtimes, wasmtime, runc) = testing::runtimes();
            let wakers = Wakers::default();
            let (one, all) = (Containers::new(runtimes.clone(), wakers.clone()), Containers::new(runtimes, Wakers::default()));
            for model in rounds {
                wasmtime.set(running(true, &model));
                runc.set(running(false, &model));
                for pod in 0..3_u8 {
                    let uid = format!("u{pod}");
                    let (waker, before) = (wakers.register(&uid), one.of_pod(&uid));
                    one.refresh_pod(&uid).now_or_never().expect("fakes answer at once");
                    let woken = waker.woken().now_or_never().is_some();
                    prop_assert_eq!(woken, before != one.of_pod(&uid));
                }
                all.refresh().now_or_never().expect("fakes answer at once");
                prop_assert_eq!(view(&one), view(&all));
                prop_assert_eq!(one.pods(), all.pods());
            }
        }
    }
}
