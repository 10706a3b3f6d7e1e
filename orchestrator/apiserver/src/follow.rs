//! Something made of objects in the store, kept current.
//!
//! # Guarantees
//! A change that was acknowledged counts in everything that is asked for later. Asking while nothing has changed costs
//! a lock and two comparisons.

use std::sync::Arc;

use parking_lot::Mutex;
use wherry_store::{Event, Revision, Snapshot, Store, Watch};

/// What is made of the objects under a prefix.
pub(crate) trait Made: Send + Sync {
    /// Where the objects are.
    const PREFIX: &'static str;

    /// Makes it anew. What the one before has compiled of objects that did not change may be taken over.
    fn make(&self, state: &Snapshot) -> Self;
}

/// Makes a `T` again whenever its objects have changed.
pub(crate) struct Follower<T> {
    store: Store,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    made: Arc<T>,
    /// The revision up to which it is known to be right.
    checked: Revision,
    /// Tells of changes after it was made; none if the store is closed.
    changes: Option<Watch>,
}

impl<T: Made> Follower<T> {
    /// Follows a store, beginning with what is made of no objects.
    pub(crate) fn new(store: &Store, empty: &T) -> Self {
        let current = Current::of(store, empty);
        Self { store: store.clone(), current: Mutex::new(current) }
    }

    /// What there is as of now.
    pub(crate) fn now(&self) -> Arc<T> {
        let revision = self.store.revision();
        let mut current = self.current.lock();
        if current.checked < revision {
            if current.unchanged(revision) {
                current.checked = revision;
            } else {
                *current = Current::of(&self.store, &current.made);
            }
        }
        Arc::clone(&current.made)
    }
}

impl<T: Made> Current<T> {
    fn of(store: &Store, before: &T) -> Self {
        let state = store.snapshot();
        Self {
            made: Arc::new(before.make(&state)),
            checked: state.revision(),
            changes: store.watch(T::PREFIX, state.revision()).ok(),
        }
    }

    /// Whether no object has changed up to this revision.
    fn unchanged(&mut self, revision: Revision) -> bool {
        let Some(changes) = &mut self.changes else { return false };
        // What the watch cannot hand out at once, because it was dropped or is being published, holds progress back.
        changes.try_next().is_none() && changes.progress() >= revision
    }
}

/// Hands over all that changed up to a revision; false if that cannot be told from memory any more.
pub(crate) fn catch_up(changes: &mut Watch, revision: Revision, mut apply: impl FnMut(Arc<Event>)) -> bool {
    loop {
        while let Some(event) = changes.try_next() {
            apply(event);
        }
        // This waits for what is being published; then either there is nothing left, or there is more at hand.
        if changes.progress() >= revision {
            return true;
        }
        match changes.try_next() {
            Some(event) => apply(event),
            None => return false,
        }
    }
}
