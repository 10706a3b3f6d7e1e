//! Appending to the file, and taking away what later rows have replaced.

use std::sync::Arc;

use redb::{ReadableTable, Table, WriteTransaction};

use super::{Disk, GAPS, LOG, META, META_COMPACTED, META_RESERVED};
use crate::entry::{Event, EventKind, Revision};
use crate::error::StorageFailure;
use crate::record::{Record, RecordError, revision_of, row_key};
use crate::seal::{self, SealError, Sealer};

/// One durable step.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    /// Rows to append, in order.
    pub(crate) events: &'a [Arc<Event>],
    pub(crate) reserve: Reserve,
    pub(crate) compaction: Option<Compaction>,
    /// Whether to leave the file so that it opens fast after a crash; costs a second fsync.
    pub(crate) settle: bool,
}

/// What to do about the revisions that may be shown before they are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    Keep,
    Through(Revision),
    Release,
}

/// A share of compaction: walk the rows after `from`, stop at `to` or after about `budget` rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compaction {
    pub(crate) from: Revision,
    pub(crate) to: Revision,
    pub(crate) budget: usize,
}

type Log<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

impl Disk {
    /// Carries out a commit; with a compaction, answers how far it came.
    pub(crate) fn commit(&self, commit: &Commit<'_>) -> Result<Option<Revision>, StorageFailure> {
        let guard = self.database.read();
        let database = guard.as_ref().ok_or_else(|| StorageFailure::Row("the file is closed".into()))?;
        let mut transaction = database.begin_write().map_err(StorageFailure::database)?;
        transaction.set_quick_repair(commit.settle);
        let compacted = {
            let mut log = transaction.open_table(LOG).map_err(StorageFailure::database)?;
            append(&mut log, commit.events, &self.seal)?;
            commit.compaction.map(|share| compact(&mut log, share)).transpose()?
        };
        if let Some(compacted) = compacted {
            set_compacted(&transaction, compacted)?;
        }
        set_reserved(&transaction, commit.reserve)?;
        transaction.commit().map_err(StorageFailure::database)?;
        Ok(compacted)
    }
}

fn append(log: &mut Log<'_>, events: &[Arc<Event>], sealer: &Sealer) -> Result<(), StorageFailure> {
    for event in events {
        let mut record = Record::of(event);
        let sealed = match (sealer, record.kind) {
            (Some(sealer), EventKind::Put) => {
                sealer.seal(record.key, record.value).map_err(|error| unsealable(&record, &error))?
            }
            _ => None,
        };
        if let Some(sealed) = &sealed {
            (record.value, record.sealed) = (sealed, true);
        }
        let (key, row) = record.encode();
        log.insert(key.as_slice(), row.as_slice()).map_err(StorageFailure::database)?;
    }
    Ok(())
}

/// Removes what the rows of the share replace, and deletes themselves (S7: never the last put of a key).
fn compact(log: &mut Log<'_>, share: Compaction) -> Result<Revision, StorageFailure> {
    let (obsolete, reached) = obsolete_rows(log, share)?;
    for key in obsolete {
        log.remove(key.as_slice()).map_err(StorageFailure::database)?;
    }
    Ok(reached)
}

fn obsolete_rows(log: &Log<'_>, share: Compaction) -> Result<(Vec<Vec<u8>>, Revision), StorageFailure> {
    let (start, end) = ((share.from + 1).to_be_bytes(), (share.to + 1).to_be_bytes());
    let rows = log.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(StorageFailure::database)?;
    let mut obsolete = Vec::new();
    let mut reached = share.from;
    for (count, row) in rows.enumerate() {
        let (key, value) = row.map_err(StorageFailure::database)?;
        let record = decode(key.value(), value.value())?;
        if count >= share.budget && record.revision > reached {
            return Ok((obsolete, reached));
        }
        reached = record.revision;
        if record.replaced > 0 {
            obsolete.push(row_key(record.replaced, record.key));
        }
        if record.kind == EventKind::Delete {
            obsolete.push(key.value().to_vec());
        }
    }
    Ok((obsolete, share.to))
}

fn set_compacted(transaction: &WriteTransaction, compacted: Revision) -> Result<(), StorageFailure> {
    let mut meta = transaction.open_table(META).map_err(StorageFailure::database)?;
    meta.insert(META_COMPACTED, compacted).map_err(StorageFailure::database)?;
    let mut gaps = transaction.open_table(GAPS).map_err(StorageFailure::database)?;
    gaps.retain(|_, last| last >= compacted).map_err(StorageFailure::database)
}

fn set_reserved(transaction: &WriteTransaction, reserve: Reserve) -> Result<(), StorageFailure> {
    let revision = match reserve {
        Reserve::Keep => return Ok(()),
        Reserve::Through(revision) => Some(revision),
        Reserve::Release => None,
    };
    let mut meta = transaction.open_table(META).map_err(StorageFailure::database)?;
    match revision {
        Some(revision) => meta.insert(META_RESERVED, revision).map_err(StorageFailure::database)?,
        None => meta.remove(META_RESERVED).map_err(StorageFailure::database)?,
    };
    Ok(())
}

pub(super) fn decode<'a>(key: &'a [u8], row: &'a [u8]) -> Result<Record<'a>, StorageFailure> {
    Record::decode(key, row).map_err(|error| StorageFailure::Row(bad_row(key, error).into()))
}

/// The row with its value open; it is put into `buffer` if it was sealed.
pub(super) fn opened<'r>(
    record: Record<'r>,
    sealer: &Sealer,
    buffer: &'r mut Vec<u8>,
) -> Result<Record<'r>, StorageFailure> {
    if !record.sealed {
        return Ok(record);
    }
    *buffer = seal::open(sealer, record.key, record.value).map_err(|error| unsealable(&record, &error))?;
    Ok(Record { value: buffer, sealed: false, ..record })
}

fn unsealable(record: &Record<'_>, error: &SealError) -> StorageFailure {
    let Record { key, revision, .. } = record;
    StorageFailure::Row(
        format!("the value of {key:?} at revision {revision} cannot be read or kept: {error}").into(),
    )
}

/// Names a row that is not one.
pub(super) fn bad_row(row_key: &[u8], error: RecordError) -> String {
    let key = String::from_utf8_lossy(row_key.get(8..).unwrap_or_default());
    match revision_of(row_key) {
        Some(revision) => format!("the row of {key:?} at revision {revision} is bad: {error}"),
        None => format!("a row is bad: {error}"),
    }
}
