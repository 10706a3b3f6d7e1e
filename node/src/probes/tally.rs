//! How often probes looked, and what they saw.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Miss, ProbeKind};

/// The looks of one probe.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    succeeded: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
}

impl Tally {
    /// Counts a look.
    pub(super) fn add(&self, outcome: &Result<(), Miss>) {
        let counter = match outcome {
            Ok(()) => &self.succeeded,
            Err(Miss::Failed(_)) => &self.failed,
            Err(Miss::Errored(_)) => &self.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts under upstream's names.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("successful", read(&self.succeeded)),
            ("failed", read(&self.failed)),
            ("unknown", read(&self.unknown)),
        ]
    }
}

/// The container and the kind of its probe.
type Key = (String, ProbeKind);

/// The looks of a Pod's probes.
type OfPod = BTreeMap<Key, Arc<Tally>>;

/// The looks of all probes of a node, by the uids of Pods. They outlast restarts of containers, not the Pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies(Arc<RwLock<HashMap<String, OfPod>>>);

impl Tallies {
    /// The looks of one probe, none yet if it is new.
    pub(crate) fn of(&self, uid: &str, container: &str, kind: ProbeKind) -> Arc<Tally> {
        let mut all = self.0.write();
        Arc::clone(all.entry(uid.to_owned()).or_default().entry((container.to_owned(), kind)).or_default())
    }

    /// Those of a Pod's probes.
    pub(crate) fn of_pod(&self, uid: &str) -> OfPod {
        self.0.read().get(uid).cloned().unwrap_or_default()
    }

    /// Forgets a Pod that is gone.
    pub(crate) fn release(&self, uid: &str) {
        self.0.write().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_counted_by_what_they_saw_until_the_pod_is_gone() {
        let tallies = Tallies::default();
        let tally = tallies.of("u", "main", ProbeKind::Liveness);
        tally.add(&Ok(()));
        tally.add(&Err(Miss::Failed(String::new())));
        tallies.of("u", "main", ProbeKind::Liveness).add(&Ok(()));
        let counts = tallies.of_pod("u")[&("main".to_owned(), ProbeKind::Liveness)].counts();
        assert_eq!(counts, [("successful", 2), ("failed", 1), ("unknown", 0)]);
        tallies.release("u");
        assert!(tallies.of_pod("u").is_empty());
    }
}
