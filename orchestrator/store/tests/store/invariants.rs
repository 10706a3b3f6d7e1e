//! One test, or a few, for each invariant of the store. S4 has `crash.rs` and `power_loss.rs`, S3 also `watch.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use wherry_store::{CompactError, Op, OpenError, Precondition, Store, TxnError, WatchError};

use crate::common::{delete, fold, lazy, open, options, place, put, rows, txn, until, when, write};

#[tokio::test]
async fn s1_revisions_rise_by_one_per_transaction() {
    let place = place();
    let store = open(&place.path);
    assert_eq!(store.revision(), 0);
    assert_eq!(store.txn(txn(vec![put("/a", "1"), put("/b", "1")])).await.unwrap(), 1);
    assert_eq!(store.txn(lazy(vec![put("/a", "2")])).await.unwrap(), 2);
    assert_eq!(store.txn(txn(vec![delete("/a")])).await.unwrap(), 3);
    store.close().await;
    let store = open(&place.path);
    assert_eq!(store.revision(), 3);
    assert_eq!(write(&store, "/a", "4").await, 4);
}

#[tokio::test]
async fn s1_concurrent_writers_get_each_revision_once() {
    let place = place();
    let store = open(&place.path);
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut revisions = Vec::new();
            for round in 0..20 {
                revisions.push(write(&store, &format!("/{client}"), &round.to_string()).await);
            }
            assert!(revisions.is_sorted());
            revisions
        });
    }
    let revisions: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(revisions.len(), 320);
    assert_eq!(revisions.into_iter().collect::<BTreeSet<_>>(), (1..=320).collect());
}

#[tokio::test]
async fn s1_what_changes_nothing_takes_no_revision() {
    let place = place();
    let store = open(&place.path);
    write(&store, "/a", "1").await;
    assert_eq!(store.txn(txn(vec![delete("/absent")])).await.unwrap(), 1);
    assert_eq!(store.txn(txn(vec![])).await.unwrap(), 1);
    assert_eq!(store.txn(txn(vec![delete("/absent"), put("/b", "1")])).await.unwrap(), 2);
}

#[tokio::test]
async fn s2_an_entry_carries_the_revisions_of_its_writes() {
    let place = place();
    let store = open(&place.path);
    for value in ["1", "2"] {
        write(&store, "/a", value).await;
        write(&store, "/b", value).await;
    }
    let check = |store: &Store| {
        let entry = store.get("/a").unwrap();
        assert_eq!((entry.create_revision, entry.mod_revision), (1, 3));
    };
    check(&store);
    store.txn(txn(vec![delete("/b")])).await.unwrap();
    write(&store, "/b", "3").await;
    assert_eq!(store.get("/b").unwrap().create_revision, 6, "a key that comes back is a new one");
    store.close().await;
    check(&open(&place.path));
}

#[tokio::test]
async fn s2_the_revision_is_spliced_into_the_value() {
    let place = place();
    let store = open(&place.path);
    for (at, expected) in [(0, "1[]"), (1, "[2]"), (2, "[]3")] {
        let value = Bytes::from_static(b"[]");
        let op = Op::Put { key: "/a".to_owned(), value, revision_at: Some(at) };
        store.txn(txn(vec![op])).await.unwrap();
        let entry = store.get("/a").unwrap();
        assert_eq!(entry.value, expected);
        let first = expected.chars().next().unwrap().to_string();
        assert_eq!(entry.attributes.get("first"), Some(&*first), "attributes come from the whole value");
    }
    store.close().await;
    assert_eq!(open(&place.path).get("/a").unwrap().value, "[]3");
}

#[tokio::test]
async fn s3_a_watch_tells_what_was_replaced() {
    let place = place();
    let store = open(&place.path);
    let mut live = store.watch("/a", 0).unwrap();
    write(&store, "/a/1", "one").await;
    write(&store, "/b/1", "other").await;
    write(&store, "/a/1", "two").await;
    store.txn(txn(vec![delete("/a/1")])).await.unwrap();
    let lived = until(&mut live, 4).await.unwrap();
    let one = ("/a/1".to_owned(), "one".to_owned(), 1, 1);
    let two = ("/a/1".to_owned(), "two".to_owned(), 1, 3);
    let gone = ("/a/1".to_owned(), "two".to_owned(), 1, 4);
    assert_eq!(
        lived,
        [(1, false, one.clone(), None), (3, false, two.clone(), Some(one)), (4, true, gone, Some(two)),]
    );
    let replayed = until(&mut store.watch("/a", 0).unwrap(), 4).await.unwrap();
    assert_eq!(replayed, lived);
    store.close().await;
    let mut small = options();
    small.event_window = 0;
    for options in [options(), small] {
        let store = Store::open(&place.path, options).unwrap();
        assert_eq!(until(&mut store.watch("/a", 0).unwrap(), 4).await.unwrap(), lived);
        store.close().await;
    }
}

#[tokio::test]
async fn s3_a_watch_starts_where_it_is_asked_to() {
    let place = place();
    let store = open(&place.path);
    for value in ["1", "2", "3"] {
        write(&store, "/a", value).await;
    }
    let mut watch = store.watch("/a", 2).unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().revision, 3);
    assert!(watch.try_next().is_none());
    assert_eq!(store.watch("/a", 4).unwrap_err(), WatchError::Future { current: 3 });
    store.compact(2).await.unwrap();
    assert_eq!(store.watch("/a", 1).unwrap_err(), WatchError::Compacted { oldest: 2 });
    assert_eq!(until(&mut store.watch("/a", 2).unwrap(), 3).await.unwrap().len(), 1);
}

#[tokio::test]
async fn s4_lazy_writes_are_durable_after_flush_or_close() {
    let place = place();
    let store = open(&place.path);
    store.txn(lazy(vec![put("/a", "1")])).await.unwrap();
    store.txn(lazy(vec![put("/a", "2")])).await.unwrap();
    store.flush().await.unwrap();
    store.txn(lazy(vec![put("/a", "3")])).await.unwrap();
    assert_eq!(store.get("/a").unwrap().value, "3", "visible at once");
    store.close().await;
    let store = open(&place.path);
    assert_eq!((store.get("/a").unwrap().value.clone(), store.revision()), (Bytes::from_static(b"3"), 3));
}

#[tokio::test]
async fn s5_a_snapshot_stays_at_its_revision() {
    let place = place();
    let store = open(&place.path);
    write(&store, "/a", "1").await;
    let snapshot = store.snapshot();
    store.txn(txn(vec![put("/a", "2"), put("/b", "2")])).await.unwrap();
    assert_eq!(snapshot.revision(), 1);
    assert_eq!(rows(&snapshot, "/"), [("/a".to_owned(), "1".to_owned(), 1, 1)]);
    assert_eq!((snapshot.count("/"), store.snapshot().count("/"), store.snapshot().count("")), (1, 2, 2));
}

#[tokio::test]
async fn s5_a_range_continues_after_a_key_and_ends_with_its_prefix() {
    let place = place();
    let store = open(&place.path);
    let keys = ["/a", "/a/1", "/a/2", "/a/20", "/a0", "/b/1"];
    store.txn(txn(keys.iter().map(|key| put(key, "")).collect())).await.unwrap();
    let snapshot = store.snapshot();
    let range = |prefix: &str, after: Option<&str>| -> Vec<String> {
        snapshot.range(prefix, after).map(|entry| entry.key.to_string()).collect()
    };
    assert_eq!(range("/a/", None), ["/a/1", "/a/2", "/a/20"]);
    assert_eq!(range("/a/", Some("/a/1")), ["/a/2", "/a/20"]);
    assert_eq!(range("/a/", Some("/a/15")), ["/a/2", "/a/20"], "the key may be gone");
    assert_eq!(range("/a/", Some("/a/20")), [""; 0]);
    assert_eq!(range("/a/", Some("/")), ["/a/1", "/a/2", "/a/20"]);
    assert_eq!(range("", None), keys);
}

/// Readers compare two keys that every transaction sets to the same value.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn s5_readers_never_see_half_a_transaction() {
    let place = place();
    let store = open(&place.path);
    write(&store, "/a", "0").await;
    write(&store, "/b", "0").await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let store = store.clone();
        readers.spawn_blocking(move || {
            let (mut reads, mut last) = (0_u64, 0);
            while store.get("/stop").is_none() {
                let snapshot = store.snapshot();
                assert!(snapshot.revision() >= last, "revisions do not fall");
                last = snapshot.revision();
                let [a, b] = ["/a", "/b"].map(|key| snapshot.get(key).unwrap().value.clone());
                assert_eq!(a, b);
                reads += 1;
            }
            reads
        });
    }
    for value in 1..200 {
        let value = value.to_string();
        let op = if value.ends_with('7') { lazy } else { txn };
        store.txn(op(vec![put("/b", &value), put("/a", &value)])).await.unwrap();
    }
    write(&store, "/stop", "").await;
    assert!(readers.join_all().await.into_iter().all(|reads| reads > 0));
}

#[tokio::test]
async fn s5_a_list_at_an_older_revision_is_the_state_then() {
    let place = place();
    let mut small = options();
    small.event_window = 3;
    let store = Store::open(&place.path, small).unwrap();
    let mut states = vec![rows(&store.snapshot(), "")];
    for step in 0..12 {
        let ops = match step % 4 {
            0 => vec![put("/a/1", &step.to_string()), put("/b", "x")],
            1 => vec![put("/a/2", &step.to_string())],
            2 => vec![delete("/a/1")],
            _ => vec![put("/a/1", "back"), delete("/b")],
        };
        store.txn(txn(ops)).await.unwrap();
        states.push(rows(&store.snapshot(), ""));
    }
    for (revision, state) in (0..).zip(&states) {
        let snapshot = store.list_at("", revision).unwrap();
        assert_eq!((snapshot.revision(), &rows(&snapshot, "")), (revision, state));
        let under: Vec<_> = state.iter().filter(|row| row.0.starts_with("/a/")).cloned().collect();
        assert_eq!(rows(&store.list_at("/a/", revision).unwrap(), "/a/"), under);
    }
    store.compact(7).await.unwrap();
    assert_eq!(rows(&store.list_at("", 7).unwrap(), ""), states[7]);
    assert_eq!(store.list_at("", 6).unwrap_err(), WatchError::Compacted { oldest: 7 });
    assert_eq!(store.list_at("", 13).unwrap_err(), WatchError::Future { current: 12 });
}

#[tokio::test]
async fn a_transaction_can_build_on_one_that_has_no_revision_yet() {
    let place = place();
    let store = open(&place.path);
    let put = |text: &'static str| Op::Put { key: "/a".to_owned(), value: text.into(), revision_at: Some(1) };
    let holds = |text: &'static str| Precondition::Holds {
        key: "/a".to_owned(),
        value: text.into(),
        revision_at: Some(1),
    };
    let first = store.submit(when(Vec::new(), vec![put("[]")]));
    let second = store.submit(when(vec![holds("[]")], vec![put("<>")]));
    let third = store.submit(when(vec![holds("[]")], vec![put("()")]));
    assert_eq!(second.await.unwrap(), 2);
    assert_eq!(first.await.unwrap(), 1);
    third.await.unwrap_err();
    assert_eq!(store.get("/a").unwrap().value, "<2>");
}

#[tokio::test]
async fn s6_a_failed_precondition_changes_nothing() {
    let place = place();
    let store = open(&place.path);
    write(&store, "/a", "1").await;
    let key = || "/a".to_owned();
    let missing = || "/missing".to_owned();
    let mut watch = store.watch("", 1).unwrap();
    for broken in [
        Precondition::Absent { key: key() },
        Precondition::ModRevision { key: key(), revision: 2 },
        Precondition::ModRevision { key: missing(), revision: 0 },
        Precondition::Exists { key: missing() },
        Precondition::Holds { key: missing(), value: "1".into(), revision_at: None },
        Precondition::Holds { key: key(), value: "2".into(), revision_at: None },
        Precondition::Holds { key: key(), value: "1".into(), revision_at: Some(0) },
    ] {
        let holds = Precondition::Exists { key: key() };
        for conditions in [vec![holds.clone(), broken.clone()], vec![broken.clone(), holds]] {
            match store.txn(when(conditions, vec![put("/a", "2"), put("/b", "2")])).await.unwrap_err() {
                TxnError::Conflict { key, found } => {
                    assert_eq!(key, broken.key());
                    assert_eq!(found, store.get(broken.key()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(store.revision(), 1);
    assert_eq!(rows(&store.snapshot(), ""), [("/a".to_owned(), "1".to_owned(), 1, 1)]);
    assert!(watch.try_next().is_none());
    let held =
        vec![Precondition::ModRevision { key: key(), revision: 1 }, Precondition::Absent { key: missing() }];
    assert_eq!(store.txn(when(held, vec![put("/a", "2")])).await.unwrap(), 2);
}

/// Only one of many writers that all saw the same revision may win, also when they share a commit.
#[tokio::test]
async fn s6_of_many_writers_from_one_revision_one_wins() {
    let place = place();
    let store = open(&place.path);
    write(&store, "/a", "start").await;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..32 {
        let store = store.clone();
        tasks.spawn(async move {
            let seen = Precondition::ModRevision { key: "/a".to_owned(), revision: 1 };
            store.txn(when(vec![seen], vec![put("/a", &client.to_string())])).await
        });
    }
    let won: Vec<_> = tasks.join_all().await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(won, [2]);
}

#[tokio::test]
async fn s6_what_cannot_be_written_says_why_and_changes_nothing() {
    let place = place();
    let store = open(&place.path);
    let at = |at| Op::Put { key: "/a".to_owned(), value: Bytes::from_static(b"ab"), revision_at: Some(at) };
    for (ops, says) in [
        (vec![put("/b", "1"), put("", "1")], "key \"\" is empty"),
        (vec![put("/b", "1"), delete("/b")], "key \"/b\" is written twice in one transaction"),
        (vec![put("/b", "1"), at(3)], "key \"/a\" wants its revision at byte 3 of a value of 2 bytes"),
        (vec![delete(&"k".repeat(4097))], "has 4097 bytes, more than 4096"),
    ] {
        let error = store.txn(txn(ops)).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let value = Bytes::from(vec![0; wherry_store::MAX_VALUE_BYTES + 1]);
    let large = Op::Put { key: "/a".to_owned(), value, revision_at: None };
    assert!(matches!(store.txn(txn(vec![large])).await, Err(TxnError::Invalid { .. })));
    assert_eq!((store.revision(), store.snapshot().count("")), (0, 0));
}

#[tokio::test]
async fn s7_compaction_keeps_the_newest_version_of_every_key() {
    let place = place();
    let store = open(&place.path);
    for round in 0..5 {
        for key in ["/a", "/b", "/c", "/old"] {
            if key != "/old" || round == 0 {
                write(&store, key, &format!("{key}{round}")).await;
            }
        }
    }
    store.txn(txn(vec![delete("/c")])).await.unwrap();
    let state = rows(&store.snapshot(), "");
    for revision in [3, 9, store.revision()] {
        store.compact(revision).await.unwrap();
        assert_eq!(rows(&store.snapshot(), ""), state);
    }
    assert!(matches!(store.compact(99).await, Err(CompactError::Future { current: 17 })));
    store.compact(5).await.unwrap();
    store.close().await;
    let store = open(&place.path);
    assert_eq!((rows(&store.snapshot(), ""), store.revision()), (state, 17));
    assert_eq!(write(&store, "/c", "again").await, 18);
}

#[tokio::test]
async fn s7_history_is_kept_by_number_of_revisions() {
    let place = place();
    let mut few = options();
    (few.retain_revisions, few.settle_interval) = (16, Duration::from_millis(1));
    let store = Store::open(&place.path, few).unwrap();
    for round in 0..400 {
        write(&store, &format!("/{}", round % 7), &round.to_string()).await;
    }
    assert!(matches!(store.watch("", 300), Err(WatchError::Compacted { oldest: 301.. })));
    assert_eq!(until(&mut store.watch("", 384).unwrap(), 400).await.unwrap().len(), 16);
    assert_eq!(store.snapshot().count(""), 7);
}

#[tokio::test]
async fn s7_history_is_kept_by_age() {
    let place = place();
    let mut short = options();
    (short.retain_age, short.settle_interval) = (Duration::from_millis(40), Duration::from_millis(5));
    let store = Store::open(&place.path, short).unwrap();
    write(&store, "/a", "1").await;
    write(&store, "/a", "2").await;
    tokio::time::timeout(Duration::from_mins(1), async {
        while !matches!(store.watch("", 0), Err(WatchError::Compacted { .. })) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("history grows old without any write");
    assert_eq!(store.get("/a").unwrap().value, "2");
}

#[tokio::test]
async fn s8_a_file_has_one_store() {
    let place = place();
    let store = open(&place.path);
    let error = Store::open(&place.path, options()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("is in use by another process; stop it"), "{error}");
    write(&store, "/a", "1").await;
    store.close().await;
    assert_eq!(open(&place.path).revision(), 1);
}

#[tokio::test]
async fn a_closed_store_reads_but_does_not_write() {
    let place = place();
    let store = open(&place.path);
    write(&store, "/a", "1").await;
    let (other, mut watch) = (store.clone(), store.watch("", 0).unwrap());
    store.close().await;
    assert!(matches!(other.txn(txn(vec![put("/a", "2")])).await, Err(TxnError::Closed)));
    assert!(matches!(other.compact(1).await, Err(CompactError::Closed)));
    assert!(matches!(other.watch("", 0), Err(WatchError::Closed)));
    assert_eq!(other.get("/a").unwrap().value, "1");
    assert_eq!(watch.next().await.unwrap().unwrap().revision, 1, "what was said is still handed out");
    assert!(watch.next().await.is_none());
    assert!(watch.next().await.is_none());
    other.close().await;
}

#[tokio::test]
async fn dropping_every_handle_closes_the_store_and_keeps_lazy_writes() {
    let place = place();
    let store = open(&place.path);
    write(&store, "/a", "1").await;
    store.txn(lazy(vec![put("/a", "2")])).await.unwrap();
    let mut watch = store.watch("", 2).unwrap();
    drop(store);
    assert!(watch.next().await.is_none(), "the watch ends when the writer has closed");
    let opened = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            match Store::open(&place.path, options()) {
                Ok(store) => return store,
                Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    });
    assert_eq!(opened.await.unwrap().get("/a").unwrap().value, "2");
}

#[tokio::test]
async fn events_lead_from_any_revision_to_the_current_state() {
    let place = place();
    let store = open(&place.path);
    for round in 0..30_u32 {
        let key = format!("/{}", round * round % 11);
        let op = if round % 5 == 4 { delete(&key) } else { put(&key, &round.to_string()) };
        store.txn(txn(vec![op])).await.unwrap();
    }
    let last = store.revision();
    for revision in 0..=last {
        let start = store.list_at("", revision).unwrap();
        let mut state = rows(&start, "").into_iter().map(|row| (row.0.clone(), row)).collect();
        fold(&mut state, &until(&mut store.watch("", revision).unwrap(), last).await.unwrap());
        assert_eq!(state.into_values().collect::<Vec<_>>(), rows(&store.snapshot(), ""));
    }
}

/// Turns every bit of the values under `/s/` around.
struct Turning;

impl wherry_store::Seal for Turning {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, wherry_store::SealError> {
        Ok(key.starts_with("/s/").then(|| value.iter().map(|byte| !byte).collect()))
    }

    fn open(&self, _key: &str, sealed: &[u8]) -> Result<Vec<u8>, wherry_store::SealError> {
        Ok(sealed.iter().map(|byte| !byte).collect())
    }
}

#[tokio::test]
async fn what_is_sealed_on_disk_reads_as_it_was_written() {
    let place = place();
    let mut sealing = options();
    sealing.seal = Some(std::sync::Arc::new(Turning));
    sealing.event_window = 1;
    let store = Store::open(&place.path, sealing.clone()).unwrap();
    for (key, value) in [("/s/a", "first"), ("/s/a", "second"), ("/o", "open"), ("/s/b", "third")] {
        write(&store, key, value).await;
    }
    let before = rows(&store.snapshot(), "");
    store.close().await;
    let file = std::fs::read(&place.path).unwrap();
    let has = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("open") && !has("first") && !has("second") && !has("third"));
    let store = Store::open(&place.path, sealing).unwrap();
    assert_eq!(rows(&store.snapshot(), ""), before);
    // Older than the window: read from the file.
    assert_eq!(rows(&store.list_at("/s/", 1).unwrap(), "/s/"), [("/s/a".into(), "first".into(), 1, 1)]);
    store.close().await;
    let refused = Store::open(&place.path, options()).unwrap_err();
    assert!(refused.to_string().contains("sealed"), "{refused}");
}
