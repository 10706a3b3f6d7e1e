//! The state at one revision (S5). Taking one is one reference count; it stays as it is while writes go on.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::entry::{Entry, Revision};

pub(crate) type Entries = OrdMap<Arc<str>, Arc<Entry>>;

/// The state at one revision.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<State>);

#[derive(Debug)]
struct State {
    revision: Revision,
    entries: Entries,
}

impl Snapshot {
    pub(crate) fn new(revision: Revision, entries: Entries) -> Self {
        Self(Arc::new(State { revision, entries }))
    }

    pub(crate) fn entries(&self) -> &Entries {
        &self.0.entries
    }

    /// The revision that this is the state at.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// The entry under `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.0.entries.get(key)
    }

    /// The entries whose keys start with `prefix`, in the order of their keys; with `start_after` only those whose
    /// keys are greater than it.
    pub fn range<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let start = match start_after {
            Some(key) if key >= prefix => Bound::Excluded(key),
            _ => Bound::Included(prefix),
        };
        self.0
            .entries
            .range::<_, str>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, entry)| entry)
    }

    /// How many keys start with `prefix`. Walks them.
    pub fn count(&self, prefix: &str) -> usize {
        if prefix.is_empty() { self.0.entries.len() } else { self.range(prefix, None).count() }
    }
}
