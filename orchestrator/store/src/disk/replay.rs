//! Reading a part of the history: events for a watch that starts before the memory's window, and the versions that an
//! older state had. Each reading is short, because redb keeps the pages of what a reader may see.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableDatabase};

use super::commit::{decode, opened};
use super::load::put_entry;
use super::{Disk, LOG, META, META_COMPACTED};
use crate::entry::{Entry, Event, EventKind, Revision};
use crate::error::{StorageFailure, WatchError};
use crate::options::Extractor;
use crate::record::{Record, row_key};
use crate::seal::Sealer;

/// The most rows that one reading walks, and the most events it brings, each rounded up to a whole transaction.
const MOST_ROWS: usize = 2048;
const MOST_EVENTS: usize = 256;

/// A part of the history.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) events: Vec<Arc<Event>>,
    /// All there is up to this revision is in `events` or was before.
    pub(crate) through: Revision,
}

/// What each key changed in a range of revisions was before; `None` if it was absent.
pub(crate) type Before = HashMap<Arc<str>, Option<Arc<Entry>>>;

/// What makes entries of rows.
type Reading<'a> = (&'a Extractor, &'a Sealer);

type Log = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

impl Disk {
    /// Events under `prefix` after `after`. Stops early; call again with what it answered.
    pub(crate) fn replay(
        &self,
        prefix: &str,
        after: Revision,
        extractor: &Extractor,
    ) -> Result<Replay, WatchError> {
        let log = self.log_after(after)?;
        let read = || {
            let mut replay = Replay { events: Vec::new(), through: after };
            let start = row_key(after + 1, "");
            for (count, row) in log.range::<&[u8]>(start.as_slice()..).map_err(failed)?.enumerate() {
                let (key, value) = row.map_err(failed)?;
                let record = decode(key.value(), value.value())?;
                let enough = count >= MOST_ROWS || replay.events.len() >= MOST_EVENTS;
                if enough && record.revision > replay.through {
                    break;
                }
                replay.through = record.revision;
                if record.key.starts_with(prefix) {
                    let mut buffer = Vec::new();
                    let record = opened(record, &self.seal, &mut buffer)?;
                    replay.events.push(Arc::new(event(&log, &record, (extractor, &self.seal))?));
                }
            }
            Ok(replay)
        };
        read().map_err(|error: StorageFailure| WatchError::Storage(error.to_string()))
    }

    /// What the keys under `prefix` that changed after `after` and through `through` were at `after`.
    pub(crate) fn before(
        &self,
        prefix: &str,
        after: Revision,
        through: Revision,
        extractor: &Extractor,
    ) -> Result<Before, WatchError> {
        let log = self.log_after(after)?;
        let read = || {
            let mut before = Before::new();
            let (start, end) = (row_key(after + 1, ""), row_key(through + 1, ""));
            for row in log.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                let record = decode(key.value(), value.value())?;
                if record.key.starts_with(prefix) && !before.contains_key(record.key) {
                    let key: Arc<str> = record.key.into();
                    let version = replaced(&log, &record, &key, (extractor, &self.seal))?;
                    before.insert(key, version);
                }
            }
            Ok(before)
        };
        read().map_err(|error: StorageFailure| WatchError::Storage(error.to_string()))
    }

    /// The log as of now, if it still has everything after `after`.
    fn log_after(&self, after: Revision) -> Result<Log, WatchError> {
        let guard = self.database.read();
        let database = guard.as_ref().ok_or(WatchError::Closed)?;
        let open = || {
            let transaction = database.begin_read().map_err(failed)?;
            let compacted = compacted(&transaction)?;
            let log = transaction.open_table(LOG).map_err(failed)?;
            Ok((log, compacted))
        };
        let (log, compacted) =
            open().map_err(|error: StorageFailure| WatchError::Storage(error.to_string()))?;
        if after < compacted { Err(WatchError::Compacted { oldest: compacted }) } else { Ok(log) }
    }
}

fn compacted(transaction: &ReadTransaction) -> Result<Revision, StorageFailure> {
    let meta = transaction.open_table(META).map_err(failed)?;
    Ok(meta.get(META_COMPACTED).map_err(failed)?.map_or(0, |value| value.value()))
}

fn event(log: &Log, record: &Record<'_>, (extractor, sealer): Reading<'_>) -> Result<Event, StorageFailure> {
    let key: Arc<str> = record.key.into();
    let prev = replaced(log, record, &key, (extractor, sealer))?;
    match (record.kind, prev) {
        (EventKind::Put, prev) => Ok(Event::put(put_entry(record, &key, extractor), prev)),
        (EventKind::Delete, Some(prev)) => Ok(Event::delete(prev, record.revision)),
        (EventKind::Delete, None) => Err(missing(record)),
    }
}

/// The version that a row replaced, with the same key allocation.
fn replaced(
    log: &Log,
    record: &Record<'_>,
    key: &Arc<str>,
    (extractor, sealer): Reading<'_>,
) -> Result<Option<Arc<Entry>>, StorageFailure> {
    if record.replaced == 0 {
        return Ok(None);
    }
    let row_key = row_key(record.replaced, record.key);
    let row = log.get(row_key.as_slice()).map_err(failed)?.ok_or_else(|| missing(record))?;
    let earlier = decode(&row_key, row.value())?;
    let mut buffer = Vec::new();
    let earlier = opened(earlier, sealer, &mut buffer)?;
    Ok(Some(put_entry(&earlier, key, extractor)))
}

fn missing(record: &Record<'_>) -> StorageFailure {
    let Record { key, revision, replaced, .. } = record;
    StorageFailure::Row(
        format!("the row of {key:?} at revision {revision} replaces one at {replaced} that is not there")
            .into(),
    )
}

fn failed(error: impl Into<redb::Error>) -> StorageFailure {
    StorageFailure::database(error)
}
