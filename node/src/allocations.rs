//! What the Pods of this node were given of its processors and its memory.
//!
//! Each worker says what its Pod has; who wants to know whether there is room for more looks here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cgroups::BURSTABLE;
use crate::pods::qos_class;
use crate::wakers::Wakers;

/// Amounts of what Pods ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    /// Thousandths of a processor.
    pub(crate) cpu: u64,
    /// Bytes.
    pub(crate) memory: u64,
}

impl std::iter::Sum for Amounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, next| Self {
            cpu: sum.cpu + next.cpu,
            memory: sum.memory + next.memory,
        })
    }
}

/// What one Pod was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allocation {
    /// What it may count on.
    pub(crate) requests: Amounts,
    /// Whether it is of the class Burstable.
    pub(crate) is_burstable: bool,
}

/// What all Pods were given, by uid.
#[derive(Clone, Debug)]
pub(crate) struct Allocations {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    wakers: Wakers,
}

impl Allocation {
    /// What a pod that may count on this was given.
    pub(crate) fn of(pod: &Pod, requests: Amounts) -> Self {
        Self { requests, is_burstable: qos_class(pod) == BURSTABLE }
    }
}

#[derive(Debug, Default)]
struct State {
    by_pod: HashMap<String, Allocation>,
    /// Pods that wait for others to give something back.
    waiting: HashSet<String>,
}

impl Allocations {
    /// Nothing was given yet; pods that wait are woken by `wakers`.
    pub(crate) fn new(wakers: Wakers) -> Self {
        Self { state: Arc::default(), changed: Arc::default(), wakers }
    }

    /// Waits until something changed since the last wait; one waits at a time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Notes what a Pod has; says whether that is new.
    pub(crate) fn note(&self, uid: &str, allocation: Allocation) -> bool {
        let is_new = self.state.lock().by_pod.insert(uid.to_owned(), allocation) != Some(allocation);
        if is_new {
            self.tell();
        }
        is_new
    }

    /// The same, if there is room for what is more than the Pod had; else what others have, and the Pod is woken when that
    /// changes.
    pub(crate) fn try_note(
        &self,
        uid: &str,
        wanted: Allocation,
        (had, all): (Amounts, Amounts),
    ) -> Result<(), Amounts> {
        let used = {
            let mut state = self.state.lock();
            let used = state.of_others(uid);
            let fits = |wanted: u64, had: u64, used: u64, all: u64| wanted <= had || wanted + used <= all;
            let requests = wanted.requests;
            if fits(requests.cpu, had.cpu, used.cpu, all.cpu)
                && fits(requests.memory, had.memory, used.memory, all.memory)
            {
                state.waiting.remove(uid);
                state.by_pod.insert(uid.to_owned(), wanted);
                None
            } else {
                state.waiting.insert(uid.to_owned());
                Some(used)
            }
        };
        if let Some(used) = used {
            return Err(used);
        }
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.changed.notify_one();
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        for uid in waiting {
            self.wakers.wake(&uid);
        }
    }

    /// Gives back what a Pod had; says whether it had anything.
    pub(crate) fn release(&self, uid: &str) -> bool {
        let had_some = self.state.lock().by_pod.remove(uid).is_some();
        if had_some {
            self.tell();
        }
        had_some
    }

    /// What the Pods of the class Burstable may count on.
    pub(crate) fn of_burstable(&self) -> Amounts {
        let state = self.state.lock();
        state.by_pod.values().filter(|allocation| allocation.is_burstable).map(|one| one.requests).sum()
    }
}

impl State {
    /// What all Pods but this one may count on.
    fn of_others(&self, uid: &str) -> Amounts {
        self.by_pod.iter().filter(|(other, _)| *other != uid).map(|(_, allocation)| allocation.requests).sum()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn what_one_gives_back_another_may_have() {
        let wakers = Wakers::default();
        let waker = wakers.register("a");
        let allocations = Allocations::new(wakers);
        let of = |cpu, is_burstable| Allocation { requests: Amounts { cpu, memory: 1 }, is_burstable };
        assert!(allocations.note("a", of(100, true)) && allocations.note("b", of(30, false)));
        assert!(!allocations.note("a", of(100, true)));
        assert_eq!(allocations.of_burstable(), Amounts { cpu: 100, memory: 1 });
        let (had, all) = (Amounts { cpu: 100, memory: 1 }, Amounts { cpu: 150, memory: 9 });
        assert_eq!(allocations.try_note("a", of(121, true), (had, all)), Err(Amounts { cpu: 30, memory: 1 }));
        assert_eq!(allocations.try_note("a", of(120, true), (had, all)), Ok(()));
        assert_eq!(
            allocations.try_note("a", of(99, true), (had, Amounts::default())),
            Ok(()),
            "less is always had"
        );
        assert!(allocations.try_note("a", of(150, true), (had, all)).is_err());
        assert!(waker.woken().now_or_never().is_none());
        assert!(allocations.release("b") && !allocations.release("b"));
        assert!(waker.woken().now_or_never().is_some());
        assert_eq!(allocations.try_note("a", of(150, true), (had, all)), Ok(()));
    }
}
