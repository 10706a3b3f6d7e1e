//! What the store holds and what it tells watchers: entries and events. Both are immutable and shared by `Arc`.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::attributes::Attributes;

/// A point in the store's history. 0 is before the first write.
pub type Revision = u64;

/// One version of the value under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The value, with the revision spliced in where the write asked for it.
    pub value: Bytes,
    /// The revision that brought the key into being.
    pub create_revision: Revision,
    /// The revision of this version.
    pub mod_revision: Revision,
    /// What the extractor found in the value.
    pub attributes: Arc<Attributes>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was created or replaced; it was created if [`Event::prev`] is `None`.
    Put,
    /// It was deleted.
    Delete,
}

/// One change of one key.
#[derive(Debug)]
pub struct Event {
    /// The transaction's revision; the events of one transaction share it and are ordered by key.
    pub revision: Revision,
    /// What happened.
    pub kind: EventKind,
    /// The new version; for a delete the last value, with the delete's revision as `mod_revision`.
    pub entry: Arc<Entry>,
    /// The version that was replaced or deleted.
    pub prev: Option<Arc<Entry>>,
    /// Encodings made once and shared by all watchers, by what their readers call them.
    encodings: Mutex<Vec<(u32, Bytes)>>,
}

impl Event {
    /// The encoding that readers call `id`; made by the first that asks, while the others wait for it.
    pub fn encoding(&self, id: u32, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut encodings = self.encodings.lock();
        if let Some((_, bytes)) = encodings.iter().find(|(made, _)| *made == id) {
            return bytes.clone();
        }
        let bytes = make();
        encodings.push((id, bytes.clone()));
        bytes
    }

    /// The encoding that readers call `id`, if one of them has made it.
    pub fn encoded(&self, id: u32) -> Option<Bytes> {
        let encodings = self.encodings.lock();
        encodings.iter().find(|(made, _)| *made == id).map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn put(entry: Arc<Entry>, prev: Option<Arc<Entry>>) -> Self {
        Self { revision: entry.mod_revision, kind: EventKind::Put, entry, prev, encodings: Mutex::default() }
    }

    pub(crate) fn delete(prev: Arc<Entry>, revision: Revision) -> Self {
        let entry = Arc::new(Entry { mod_revision: revision, ..Entry::clone(&prev) });
        Self { revision, kind: EventKind::Delete, entry, prev: Some(prev), encodings: Mutex::default() }
    }

    /// The revision of the version that this event replaced, 0 if there was none.
    pub(crate) fn replaced(&self) -> Revision {
        self.prev.as_ref().map_or(0, |prev| prev.mod_revision)
    }

    /// Roughly what keeping this event costs: its value, and as much again for an encoding of it.
    pub(crate) fn weight(&self) -> usize {
        2 * self.entry.value.len() + self.entry.key.len() + 256
    }
}
