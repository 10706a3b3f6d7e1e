//! Volumes that must stay attached: those this node has, or is about to have. Its Node's `volumesInUse` names them, and nobody
//! detaches what is named there; so a volume is touched only after it was told.

use std::collections::BTreeSet;

use tokio::sync::watch;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct InUse {
    wanted: watch::Sender<BTreeSet<String>>,
    told: watch::Sender<BTreeSet<String>>,
}

impl InUse {
    /// These are in use already.
    pub(super) fn new(now: BTreeSet<String>) -> Self {
        Self { wanted: watch::Sender::new(now), told: watch::Sender::default() }
    }

    /// From now on the volume is in use.
    pub(super) fn add(&self, volume: &str) {
        self.wanted.send_if_modified(|volumes| volumes.insert(volume.to_owned()));
    }

    /// It is not any more.
    pub(super) fn remove(&self, volume: &str) {
        self.wanted.send_if_modified(|volumes| volumes.remove(volume));
    }

    /// What the Node is to name, and whatever it will be.
    pub(crate) fn follow(&self) -> watch::Receiver<BTreeSet<String>> {
        self.wanted.subscribe()
    }

    /// The Node names these now.
    pub(crate) fn tell(&self, volumes: BTreeSet<String>) {
        self.told.send_if_modified(|told| {
            let differs = *told != volumes;
            *told = volumes;
            differs
        });
    }

    /// Waits until the Node names the volume.
    pub(super) async fn told(&self, volume: &str) {
        let mut told = self.told.subscribe();
        // The sender is our own, so it cannot be gone.
        let _named = told.wait_for(|told| told.contains(volume)).await;
    }
}
