//! The index of the roles and bindings in the store, kept current.
//!
//! # Guarantees
//! A change that was acknowledged counts in every decision that begins later. A decision with an index that is current
//! costs no decoding and holds no lock while it looks.

use std::sync::Arc;

use parking_lot::Mutex;
use wherry_store::{Revision, Store, Watch};

use super::policy::{Index, PREFIX, Policy};

/// Roles and bindings, and where they come from.
pub(crate) struct Rbac {
    store: Store,
    current: Mutex<Current>,
}

struct Current {
    policy: Policy,
    index: Arc<Index>,
    /// The revision up to which the index is known to be right.
    checked: Revision,
    /// Tells of changes after the index was made; none if the store is closed.
    changes: Option<Watch>,
}

impl Rbac {
    /// The roles and bindings of a store.
    pub(super) fn new(store: Store) -> Self {
        let mut policy = Policy::default();
        let state = store.snapshot();
        let index = Arc::new(policy.index(&state));
        let changes = store.watch(PREFIX, state.revision()).ok();
        let current = Current { policy, index, checked: state.revision(), changes };
        Self { store, current: Mutex::new(current) }
    }

    /// The index as of now.
    pub(crate) fn index(&self) -> Arc<Index> {
        let revision = self.store.revision();
        let mut current = self.current.lock();
        if current.checked < revision {
            if current.unchanged(revision) {
                current.checked = revision;
            } else {
                current.rebuild(&self.store);
            }
        }
        Arc::clone(&current.index)
    }
}

impl Current {
    /// Whether no role and no binding has changed up to this revision.
    fn unchanged(&mut self, revision: Revision) -> bool {
        let Some(changes) = &mut self.changes else { return false };
        // What the watch cannot hand out at once, because it was dropped or is being published, holds progress back.
        changes.try_next().is_none() && changes.progress() >= revision
    }

    fn rebuild(&mut self, store: &Store) {
        let state = store.snapshot();
        self.index = Arc::new(self.policy.index(&state));
        self.checked = state.revision();
        self.changes = store.watch(PREFIX, state.revision()).ok();
    }
}
