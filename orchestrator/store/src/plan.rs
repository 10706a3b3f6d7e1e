//! Transactions against the state: what they change, or why they are refused. Pure: nothing is written, and the result
//! is thrown away if it cannot be made durable.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{Entry, Event, Revision};
use crate::error::TxnError;
use crate::options::Extractor;
use crate::snapshot::{Entries, Snapshot};
use crate::txn::{Op, Precondition, Txn};

/// A state in the making: a published one and the transactions applied to it since.
pub(crate) struct Plan<'a> {
    extractor: &'a Extractor,
    revision: Revision,
    entries: Entries,
    events: Vec<Arc<Event>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(base: &Snapshot, extractor: &'a Extractor) -> Self {
        Self { extractor, revision: base.revision(), entries: base.entries().clone(), events: Vec::new() }
    }

    /// The revision of the state so far.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Applies a transaction, which later ones see. The revision that answers it is a new one if it had an effect.
    pub(crate) fn apply(&mut self, txn: Txn) -> Result<Revision, TxnError> {
        if let Some(broken) = txn.preconditions.iter().find(|condition| !self.holds(condition)) {
            let found = self.entries.get(broken.key()).cloned();
            return Err(TxnError::Conflict { key: broken.key().to_owned(), found });
        }
        let revision = self.revision + 1;
        let mut ops = txn.ops;
        ops.sort_by(|a, b| a.key().cmp(b.key()));
        let events = self.events.len();
        for op in ops {
            self.write(op, revision);
        }
        if self.events.len() > events {
            self.revision = revision;
        }
        Ok(self.revision)
    }

    pub(crate) fn finish(self) -> (Snapshot, Vec<Arc<Event>>) {
        (Snapshot::new(self.revision, self.entries), self.events)
    }

    fn holds(&self, condition: &Precondition) -> bool {
        let found = self.entries.get(condition.key());
        match condition {
            Precondition::Absent { .. } => found.is_none(),
            Precondition::Exists { .. } => found.is_some(),
            Precondition::ModRevision { revision, .. } => {
                found.is_some_and(|entry| entry.mod_revision == *revision)
            }
            Precondition::Holds { value, revision_at, .. } => {
                found.is_some_and(|entry| entry.value == splice(value, *revision_at, entry.mod_revision))
            }
        }
    }

    fn write(&mut self, op: Op, revision: Revision) {
        match op {
            Op::Put { key, value, revision_at } => {
                self.put(&key, splice(&value, revision_at, revision), revision);
            }
            Op::Delete { key } => {
                if let Some(prev) = self.entries.remove(key.as_str()) {
                    self.events.push(Arc::new(Event::delete(prev, revision)));
                }
            }
        }
    }

    fn put(&mut self, key: &str, value: Bytes, revision: Revision) {
        let prev = self.entries.get(key).cloned();
        let attributes = (self.extractor)(key, &value).shared(prev.as_ref().map(|prev| &prev.attributes));
        let entry = Arc::new(Entry {
            key: prev.as_ref().map_or_else(|| Arc::from(key), |prev| Arc::clone(&prev.key)),
            value,
            create_revision: prev.as_ref().map_or(revision, |prev| prev.create_revision),
            mod_revision: revision,
            attributes,
        });
        self.entries.insert(Arc::clone(&entry.key), Arc::clone(&entry));
        self.events.push(Arc::new(Event::put(entry, prev)));
    }
}

/// The value with the revision inserted; always a copy of exactly its size, because `value` may be a slice that keeps
/// a whole request alive.
fn splice(value: &Bytes, at: Option<usize>, revision: Revision) -> Bytes {
    let Some(at) = at else { return Bytes::copy_from_slice(value) };
    let digits = revision.to_string();
    let mut spliced = Vec::with_capacity(value.len() + digits.len());
    spliced.extend_from_slice(&value[..at]);
    spliced.extend_from_slice(digits.as_bytes());
    spliced.extend_from_slice(&value[at..]);
    spliced.into()
}
