//! Reading the whole file once, when it is opened: checks every row against the ones before it, rebuilds the current
//! state and the latest events, and settles what a crash left open.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::commit::{bad_row, opened};
use super::{FORMAT, GAPS, LOG, META, META_COMPACTED, META_FORMAT, META_RESERVED};
use crate::entry::{Entry, Event, EventKind, Revision};
use crate::error::{OpenError, StorageFailure};
use crate::options::{Extractor, Options};
use crate::record::Record;
use crate::retention::Gap;
use crate::snapshot::{Entries, Snapshot};

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) current: Snapshot,
    /// The latest events; all after `floor`.
    pub(crate) events: Vec<Arc<Event>>,
    pub(crate) floor: Revision,
    pub(crate) compacted: Revision,
    pub(crate) gaps: Vec<Gap>,
}

/// Why a file cannot be loaded.
#[derive(Debug)]
pub(super) enum LoadError {
    NotAStore(&'static str),
    Format(u64),
    Row(String),
    Storage(redb::Error),
}

impl LoadError {
    pub(super) fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::NotAStore(problem) => OpenError::NotAStore { path, problem: problem.to_owned() },
            Self::Format(found) => OpenError::Format { path, found, supported: FORMAT },
            Self::Row(problem) | Self::Storage(redb::Error::Corrupted(problem)) => {
                OpenError::Corrupt { path, problem }
            }
            Self::Storage(error @ redb::Error::TableTypeMismatch { .. }) => {
                OpenError::NotAStore { path, problem: error.to_string() }
            }
            Self::Storage(error) => {
                OpenError::Io { path, step: "read", source: StorageFailure::database(error) }
            }
        }
    }
}

impl<E: Into<redb::Error>> From<E> for LoadError {
    fn from(error: E) -> Self {
        Self::Storage(error.into())
    }
}

pub(super) fn load(database: &Database, options: &Options) -> Result<Loaded, LoadError> {
    if database.begin_read()?.list_tables()?.next().is_none() {
        create(database)?;
    }
    let transaction = database.begin_read()?;
    check_format(&transaction)?;
    let compacted = meta(&transaction, META_COMPACTED)?.unwrap_or(0);
    let mut gaps = Vec::new();
    for gap in transaction.open_table(GAPS)?.iter()? {
        let (first, last) = gap?;
        gaps.push(Gap { first: first.value(), last: last.value() });
    }
    let loader = read_log(&transaction, compacted, options)?;
    let past_gaps = gaps.last().map_or(0, |gap| gap.last.saturating_add(1));
    let mut revision = loader.last.max(compacted).max(past_gaps);
    if let Some(reserved) = meta(&transaction, META_RESERVED)? {
        drop(transaction);
        revision = recover(database, revision, reserved, &mut gaps)?;
    }
    Ok(loader.finish(revision, gaps))
}

/// Lays out an empty store.
pub(super) fn create(database: &Database) -> Result<(), LoadError> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(META_FORMAT, FORMAT)?;
    transaction.open_table(LOG)?;
    transaction.open_table(GAPS)?;
    transaction.commit()?;
    Ok(())
}

fn check_format(transaction: &ReadTransaction) -> Result<(), LoadError> {
    let found = match meta(transaction, META_FORMAT) {
        Ok(Some(found)) => found,
        Ok(None) | Err(LoadError::Storage(redb::Error::TableDoesNotExist(_))) => {
            return Err(LoadError::NotAStore("it is a database without a format version"));
        }
        Err(error) => return Err(error),
    };
    if found == FORMAT { Ok(()) } else { Err(LoadError::Format(found)) }
}

fn meta(transaction: &ReadTransaction, key: &[u8]) -> Result<Option<u64>, LoadError> {
    Ok(transaction.open_table(META)?.get(key)?.map(|value| value.value()))
}

/// The store was stopped hard while revisions could be shown before they were on disk: those that are not on it are
/// lost and must not be used again.
fn recover(
    database: &Database,
    revision: Revision,
    reserved: Revision,
    gaps: &mut Vec<Gap>,
) -> Result<Revision, LoadError> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.remove(META_RESERVED)?;
    let lost = Gap { first: revision + 1, last: reserved };
    let recovered = if lost.first <= lost.last {
        transaction.open_table(GAPS)?.insert(lost.first, lost.last)?;
        gaps.push(lost);
        tracing::warn!(
            first = lost.first,
            last = lost.last,
            "the store was stopped hard; revisions without a durable write are skipped"
        );
        lost.last + 1
    } else {
        revision
    };
    transaction.commit()?;
    Ok(recovered)
}

fn read_log<'a>(
    transaction: &ReadTransaction,
    compacted: Revision,
    options: &'a Options,
) -> Result<Loader<'a>, LoadError> {
    let log = transaction.open_table(LOG)?;
    let window = u64::try_from(options.event_window).unwrap_or(u64::MAX);
    let first_event = log.len()?.saturating_sub(window);
    let mut loader = Loader {
        extractor: &options.extractor,
        compacted,
        versions: HashMap::new(),
        events: Vec::new(),
        floor: compacted,
        last: 0,
    };
    for (index, row) in (0..).zip(log.iter()?) {
        let (key, value) = row?;
        let record = Record::decode(key.value(), value.value())
            .map_err(|error| LoadError::Row(bad_row(key.value(), error)))?;
        let mut buffer = Vec::new();
        let record = opened(record, &options.seal, &mut buffer)
            .map_err(|failure| LoadError::Row(failure.to_string()))?;
        loader.check(&record)?;
        loader.add(&record, index >= first_event);
    }
    Ok(loader)
}

/// The state so far, while the log is read in order.
struct Loader<'a> {
    extractor: &'a Extractor,
    compacted: Revision,
    versions: HashMap<Arc<str>, Version>,
    events: Vec<Arc<Event>>,
    floor: Revision,
    last: Revision,
}

/// The newest version of a key so far. Attributes are extracted only of what is still needed at the end.
enum Version {
    Plain { value: Bytes, create_revision: Revision, mod_revision: Revision },
    Ready(Arc<Entry>),
}

impl Loader<'_> {
    fn check(&self, record: &Record<'_>) -> Result<(), LoadError> {
        let present = self.versions.get(record.key).map_or(0, Version::mod_revision);
        if record.revision > self.compacted {
            if record.replaced != present {
                return Err(LoadError::Row(format!(
                    "the row of {:?} at revision {} replaces revision {}, but the one before is {present}",
                    record.key, record.revision, record.replaced
                )));
            }
        } else if record.kind == EventKind::Delete || present != 0 {
            return Err(LoadError::Row(format!(
                "the row of {:?} at revision {} should have been compacted at {}",
                record.key, record.revision, self.compacted
            )));
        }
        Ok(())
    }

    fn add(&mut self, record: &Record<'_>, as_event: bool) {
        self.last = record.revision;
        let replaced = self.versions.remove_entry(record.key);
        let key = replaced.as_ref().map_or_else(|| Arc::from(record.key), |(key, _)| Arc::clone(key));
        let prev = replaced.map(|(_, version)| version);
        if record.revision > self.compacted && as_event {
            self.add_event(record, key, prev);
            return;
        }
        self.floor = self.floor.max(record.revision);
        if record.kind == EventKind::Put {
            let value = Bytes::copy_from_slice(record.value);
            let (create_revision, mod_revision) = (record.create_revision, record.revision);
            self.versions.insert(key, Version::Plain { value, create_revision, mod_revision });
        }
    }

    fn add_event(&mut self, record: &Record<'_>, key: Arc<str>, prev: Option<Version>) {
        let prev = prev.map(|version| version.ready(&key, self.extractor));
        let event = match (record.kind, prev) {
            (EventKind::Delete, Some(prev)) => Event::delete(prev, record.revision),
            (_, prev) => {
                let entry = put_entry(record, &key, self.extractor);
                self.versions.insert(key, Version::Ready(Arc::clone(&entry)));
                Event::put(entry, prev)
            }
        };
        self.events.push(Arc::new(event));
    }

    fn finish(self, revision: Revision, gaps: Vec<Gap>) -> Loaded {
        let extractor = self.extractor;
        let mut sorted: Vec<(Arc<str>, Version)> = self.versions.into_iter().collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let entries: Entries = sorted
            .into_iter()
            .map(|(key, version)| {
                let entry = version.ready(&key, extractor);
                (key, entry)
            })
            .collect();
        Loaded {
            current: Snapshot::new(revision, entries),
            events: self.events,
            floor: self.floor,
            compacted: self.compacted,
            gaps,
        }
    }
}

impl Version {
    fn mod_revision(&self) -> Revision {
        match self {
            Self::Plain { mod_revision, .. } => *mod_revision,
            Self::Ready(entry) => entry.mod_revision,
        }
    }

    fn ready(self, key: &Arc<str>, extractor: &Extractor) -> Arc<Entry> {
        match self {
            Self::Ready(entry) => entry,
            Self::Plain { value, create_revision, mod_revision } => {
                let attributes = extractor(key, &value).shared(None);
                Arc::new(Entry { key: Arc::clone(key), value, create_revision, mod_revision, attributes })
            }
        }
    }
}

/// The entry that a put row holds.
pub(super) fn put_entry(record: &Record<'_>, key: &Arc<str>, extractor: &Extractor) -> Arc<Entry> {
    Arc::new(Entry {
        key: Arc::clone(key),
        value: Bytes::copy_from_slice(record.value),
        create_revision: record.create_revision,
        mod_revision: record.revision,
        attributes: extractor(key, record.value).shared(None),
    })
}
