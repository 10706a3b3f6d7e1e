//! Tests of opening files that are not what they should be: each answer is an error that says so, and the file is kept.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use redb::{ReadableDatabase, ReadableTable};

use super::*;
use crate::attributes::Attributes;
use crate::record::{Record, row_key};
use crate::store::Store;
use crate::txn::{Op, Txn};

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn options() -> Options {
    Options::new(Arc::new(|_: &str, _: &[u8]| Attributes::default()), Arc::new(|| 1))
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    Fixture { _dir: dir, path }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A store in which /a was written at 1 and 3, and /b at 2.
fn written() -> Fixture {
    let fixture = fixture();
    block_on(async {
        let store = Store::open(&fixture.path, options()).unwrap();
        for key in ["/a", "/b", "/a"] {
            let op = Op::Put { key: key.to_owned(), value: Bytes::from_static(b"value"), revision_at: None };
            store.txn(Txn { ops: vec![op], ..Txn::default() }).await.unwrap();
        }
        store.close().await;
    });
    fixture
}

fn edit(fixture: &Fixture, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(&fixture.path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

/// What must be left alone: the rows of a database (redb itself may shorten the file), else the bytes.
fn contents(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Ok(database) = Database::open(path) else { return vec![(Vec::new(), fs::read(path).unwrap())] };
    let transaction = database.begin_read().unwrap();
    let Ok(log) = transaction.open_table(LOG) else { return Vec::new() };
    let rows = log.iter().unwrap().map(Result::unwrap);
    rows.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).collect()
}

fn refused(fixture: &Fixture) -> OpenError {
    let before = contents(&fixture.path);
    let error = Store::open(&fixture.path, options()).expect_err("the file must be refused");
    assert!(error.to_string().contains(fixture.path.to_str().unwrap()), "no path in: {error}");
    assert_eq!(contents(&fixture.path), before, "the file was changed");
    error
}

#[test]
fn a_newer_format_is_named_and_left_alone() {
    let fixture = written();
    edit(&fixture, |transaction| {
        transaction.open_table(META).unwrap().insert(META_FORMAT, 2).unwrap();
    });
    let error = refused(&fixture);
    assert!(matches!(error, OpenError::Format { found: 2, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("use the version that wrote it"), "{error}");
    assert_eq!(contents(&fixture.path).len(), 3);
}

#[test]
fn a_database_of_somebody_else_is_not_a_store() {
    let other = fixture();
    let database = Database::create(&other.path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refused(&other), OpenError::NotAStore { .. }));
}

#[test]
fn a_table_of_other_types_is_not_a_store() {
    let other = fixture();
    let database = Database::create(&other.path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("meta")).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refused(&other), OpenError::NotAStore { .. }));
}

#[test]
fn a_file_of_another_kind_is_not_a_store() {
    let other = fixture();
    fs::write(&other.path, "kind: Pod\n".repeat(1000)).unwrap();
    assert!(matches!(refused(&other), OpenError::NotAStore { .. }), "{:?}", refused(&other));
}

#[test]
fn a_missing_directory_says_what_could_not_be_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absent").join("state.redb");
    let error = Store::open(&path, options()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create the store {}", path.display()));
}

#[test]
fn a_file_left_half_made_by_a_crash_is_made_anew() {
    let fixture = fixture();
    let half = fixture.path.with_file_name("state.redb.new");
    fs::write(&half, [7; 5000]).unwrap();
    let store = Store::open(&fixture.path, options()).unwrap();
    assert!(!half.exists());
    assert_eq!(store.revision(), 0);
    block_on(store.close());
}

#[test]
fn a_file_that_is_being_made_is_locked() {
    let fixture = fixture();
    let making = fs::File::create(fixture.path.with_file_name("state.redb.new")).unwrap();
    making.lock().unwrap();
    let error = Store::open(&fixture.path, options()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
}

#[test]
fn an_empty_file_is_not_taken_for_a_new_store() {
    let fixture = fixture();
    fs::write(&fixture.path, "").unwrap();
    let error = Store::open(&fixture.path, options()).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
}

#[test]
fn a_bad_checksum_names_its_row() {
    let fixture = written();
    edit(&fixture, |transaction| {
        let mut log = transaction.open_table(LOG).unwrap();
        let key = row_key(2, "/b");
        let mut row = log.get(key.as_slice()).unwrap().unwrap().value().to_vec();
        *row.last_mut().unwrap() ^= 1;
        log.insert(key.as_slice(), row.as_slice()).unwrap();
    });
    let error = refused(&fixture).to_string();
    assert!(error.contains("the row of \"/b\" at revision 2 is bad: its checksum does not match"), "{error}");
    assert!(error.contains("restore it from a backup"), "{error}");
}

#[test]
fn a_missing_row_is_noticed() {
    let fixture = written();
    edit(&fixture, |transaction| {
        transaction.open_table(LOG).unwrap().remove(row_key(1, "/a").as_slice()).unwrap();
    });
    let error = refused(&fixture).to_string();
    assert!(error.contains("at revision 3 replaces revision 1, but the one before is 0"), "{error}");
}

#[test]
fn a_row_that_compaction_should_have_removed_is_noticed() {
    let fixture = written();
    edit(&fixture, |transaction| {
        transaction.open_table(META).unwrap().insert(META_COMPACTED, 3).unwrap();
    });
    let error = refused(&fixture).to_string();
    assert!(error.contains("should have been compacted at 3"), "{error}");
}

#[test]
fn a_delete_of_what_is_not_there_is_noticed() {
    let fixture = written();
    let (key, row) = Record {
        revision: 4,
        key: "/c",
        kind: crate::entry::EventKind::Delete,
        create_revision: 1,
        replaced: 2,
        value: b"",
        sealed: false,
    }
    .encode();
    edit(&fixture, |transaction| {
        transaction.open_table(LOG).unwrap().insert(key.as_slice(), row.as_slice()).unwrap();
    });
    assert!(matches!(refused(&fixture), OpenError::Corrupt { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is damaged, opening gives the right state or an error, never a panic or a wrong value.
    #[test]
    fn a_damaged_file_opens_right_or_not_at_all(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64),
        length in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let fixture = written();
        let mut bytes = fs::read(&fixture.path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for (at, byte) in flips {
            bytes[at.index(used)] ^= byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(used).max(1));
        }
        fs::write(&fixture.path, &bytes).unwrap();
        if let Ok(store) = Store::open(&fixture.path, options()) {
            for entry in store.snapshot().range("", None) {
                prop_assert_eq!(&entry.value[..], b"value");
                prop_assert!(matches!((&*entry.key, entry.mod_revision), ("/a", 1 | 3) | ("/b", 2)));
            }
            block_on(store.close());
        }
    }
}
