//! The state at an older revision, for lists that continue: the current one with the later events taken back, newest
//! first. Costs as much as there were events since, holds no memory, and needs nothing to be pinned or timed out.

use std::sync::Arc;

use crate::entry::{Event, Revision};
use crate::error::WatchError;
use crate::shared::Shared;
use crate::snapshot::{Entries, Snapshot};

/// The state at `revision` under `prefix`; other keys are as they happen to be. Events that are still in memory are taken from there, older ones from the file.
pub(crate) fn state_at(shared: &Shared, prefix: &str, revision: Revision) -> Result<Snapshot, WatchError> {
    let current = shared.state_after(revision)?;
    if current.revision() == revision {
        return Ok(current);
    }
    let (events, start, newest) = shared.hub.recent(revision);
    let mut entries = newest.entries().clone();
    take_back(&mut entries, prefix, &events);
    if start > revision {
        for (key, version) in shared.disk.before(prefix, revision, start, &shared.options.extractor)? {
            match version {
                Some(version) => entries.insert(key, version),
                None => entries.remove(&*key),
            };
        }
    }
    Ok(Snapshot::new(revision, entries))
}

fn take_back(entries: &mut Entries, prefix: &str, events: &[Arc<Event>]) {
    for event in events.iter().rev().filter(|event| event.entry.key.starts_with(prefix)) {
        match &event.prev {
            Some(prev) => entries.insert(Arc::clone(&prev.key), Arc::clone(prev)),
            None => entries.remove(&*event.entry.key),
        };
    }
}
