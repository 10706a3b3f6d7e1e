//! What the store's integration tests share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wherry_store::{
    Attributes, Durability, Entry, Event, EventKind, Op, Options, Precondition, Revision, Snapshot, Store,
    Txn, Watch, WatchError,
};

/// A directory of its own and the store's file in it.
pub(crate) struct Place {
    _dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

pub(crate) fn place() -> Place {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("state.redb");
    Place { _dir: dir, path }
}

/// Options with a running clock and the value's length and first byte as attributes.
pub(crate) fn options() -> Options {
    let start = tokio::time::Instant::now();
    let clock = move || u64::try_from(start.elapsed().as_millis()).expect("a short test") + 1_000_000;
    let extractor = |key: &str, value: &[u8]| {
        let first = value.first().map_or(String::new(), |byte| char::from(*byte).to_string());
        Attributes::from(vec![("first".to_owned(), first), ("key".to_owned(), key.to_owned())])
    };
    Options::new(Arc::new(extractor), Arc::new(clock))
}

pub(crate) fn open(path: &Path) -> Store {
    Store::open(path, options()).expect("the store opens")
}

pub(crate) fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()), revision_at: None }
}

pub(crate) fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned() }
}

pub(crate) fn txn(ops: Vec<Op>) -> Txn {
    Txn { ops, ..Txn::default() }
}

pub(crate) fn lazy(ops: Vec<Op>) -> Txn {
    Txn { ops, durability: Durability::Lazy, ..Txn::default() }
}

pub(crate) fn when(preconditions: Vec<Precondition>, ops: Vec<Op>) -> Txn {
    Txn { preconditions, ops, ..Txn::default() }
}

pub(crate) async fn write(store: &Store, key: &str, value: &str) -> Revision {
    store.txn(txn(vec![put(key, value)])).await.expect("the write is accepted")
}

/// Everything that can be said of an entry.
pub(crate) type Row = (String, String, Revision, Revision);

pub(crate) fn row(entry: &Entry) -> Row {
    let value = String::from_utf8_lossy(&entry.value).into_owned();
    (entry.key.to_string(), value, entry.create_revision, entry.mod_revision)
}

pub(crate) fn rows(snapshot: &Snapshot, prefix: &str) -> Vec<Row> {
    snapshot.range(prefix, None).map(|entry| row(entry)).collect()
}

/// Everything that can be said of an event.
pub(crate) type Seen = (Revision, bool, Row, Option<Row>);

pub(crate) fn seen(event: &Event) -> Seen {
    (event.revision, event.kind == EventKind::Delete, row(&event.entry), event.prev.as_deref().map(row))
}

/// What the watch says until it has said everything through `revision`.
pub(crate) async fn until(watch: &mut Watch, revision: Revision) -> Result<Vec<Seen>, WatchError> {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let mut events = Vec::new();
    while watch.progress() < revision {
        assert!(tokio::time::Instant::now() < deadline, "{watch:?} does not get to {revision}");
        // A watch that reads the file and finds nothing of its own there gets on without an event.
        let Ok(next) = tokio::time::timeout(Duration::from_millis(1), watch.next()).await else { continue };
        match next.expect("the watch goes on") {
            Ok(event) => events.push(seen(&event)),
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

/// The state that events lead to.
pub(crate) fn fold(state: &mut BTreeMap<String, Row>, events: &[Seen]) {
    for (_, deleted, row, _) in events {
        if *deleted {
            state.remove(&row.0);
        } else {
            state.insert(row.0.clone(), row.clone());
        }
    }
}
