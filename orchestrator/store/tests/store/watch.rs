//! S3 under load: whatever a watch's start, speed and source, it says exactly the history or that it was compacted.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use wherry_store::{Event, Options, Revision, Store, Watch, WatchError};

use crate::common::{Seen, delete, lazy, open, options, place, put, seen, txn, until, write};

const PREFIXES: [&str; 4] = ["", "/a/", "/a/1", "/b/"];
/// Enough to meet every turn, few enough for a busy machine.
const MOST_WATCHES: usize = 100;
const WRITERS: u32 = 4;
const WRITES: u32 = 250;
const LAST: Revision = (WRITERS * WRITES) as Revision;

/// A window so small that watches fall out of it all the time.
fn tiny_window() -> Options {
    let mut options = options();
    options.event_window = 5;
    options
}

async fn writer(store: Store, client: u32) {
    for round in 0..WRITES {
        let key = format!("/{}/{}", if round % 3 == 0 { "b" } else { "a" }, (client + round) % 5);
        let twin = format!("{key}/twin");
        let value = format!("{client}-{round}");
        let write = match round % 4 {
            0 => lazy(vec![put(&key, &value)]),
            1 => txn(vec![put(&key, &value), put(&twin, &value)]),
            // The second op keeps it from being without effect, so that each transaction takes a revision.
            2 => txn(vec![delete(&twin), put(&key, &value)]),
            _ => txn(vec![put(&key, &value)]),
        };
        store.txn(write).await.expect("the write is accepted");
    }
}

/// Follows a watch to the last revision, slowly if asked to.
async fn follow(mut watch: Watch, slow: bool) -> Result<Vec<Seen>, (Vec<Seen>, WatchError)> {
    let mut events: Vec<Seen> = Vec::new();
    while watch.progress() < LAST {
        // Dropping `next` between polls must not lose anything.
        let next = tokio::time::timeout(Duration::from_micros(50), watch.next());
        match next.await {
            Err(_elapsed) => {}
            Ok(None) => panic!("the store is open"),
            Ok(Some(Err(error))) => return Err((events, error)),
            Ok(Some(Ok(event))) => events.push(seen(&event)),
        }
        if slow && events.len() % 16 == 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(events)
}

fn part(history: &[Seen], prefix: &str, after: Revision) -> Vec<Seen> {
    history.iter().filter(|event| event.0 > after && event.2.0.starts_with(prefix)).cloned().collect()
}

/// Starts watches with each prefix while writers run; answers how each ended.
async fn under_load(
    store: &Store,
) -> Vec<(&'static str, Revision, Result<Vec<Seen>, (Vec<Seen>, WatchError)>)> {
    let mut writers = JoinSet::new();
    for client in 0..WRITERS {
        writers.spawn(writer(store.clone(), client));
    }
    let mut watches = JoinSet::new();
    while !writers.is_empty() {
        for (index, prefix) in PREFIXES.into_iter().enumerate() {
            let after = store.revision() * index as u64 / 3;
            if watches.len() >= MOST_WATCHES {
                break;
            }
            if let Ok(watch) = store.watch(prefix, after.min(store.revision())) {
                let slow = watches.len() % 3 == 0;
                watches.spawn(async move { (prefix, after.min(LAST), follow(watch, slow).await) });
            }
        }
        // A few more watches with every few writes.
        let now = store.revision();
        if now == LAST {
            break;
        }
        store.watch("", now).expect("the present can be watched").next().await;
        while let Some(joined) = writers.try_join_next() {
            joined.expect("the writer ends well");
        }
    }
    writers.join_all().await;
    watches.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_every_watch_says_the_same_history() {
    let place = place();
    let store = Store::open(&place.path, tiny_window()).unwrap();
    let ends = under_load(&store).await;
    let history = until(&mut store.watch("", 0).unwrap(), LAST).await.unwrap();
    let revisions: Vec<_> = history.iter().map(|event| event.0).collect();
    assert!(revisions.is_sorted());
    assert!((1..=LAST).all(|revision| revisions.binary_search(&revision).is_ok()), "no hole");
    assert!(ends.len() > 20, "only {} watches", ends.len());
    for (prefix, after, end) in ends {
        assert_eq!(
            end.expect("nothing is compacted"),
            part(&history, prefix, after),
            "{prefix} after {after}"
        );
    }
}

/// Collects the history and compacts behind itself, so that it is never overtaken.
async fn compactor(store: Store) -> Vec<Seen> {
    let mut watch = store.watch("", 0).expect("nothing is compacted yet");
    let mut history = Vec::new();
    while watch.progress() < LAST {
        history.push(seen(&watch.next().await.expect("the store is open").expect("it is not overtaken")));
        if history.len() % 8 == 0 {
            store.compact(watch.progress().saturating_sub(20)).await.expect("the disk works");
        }
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_compaction_ends_a_watch_but_never_leaves_a_hole() {
    let place = place();
    let store = Store::open(&place.path, tiny_window()).unwrap();
    let stalled = PREFIXES.map(|prefix| (prefix, store.watch(prefix, 0).unwrap()));
    let mut compacting = JoinSet::new();
    compacting.spawn(compactor(store.clone()));
    let mut ends = under_load(&store).await;
    let history = compacting.join_all().await.pop().unwrap();
    for (prefix, watch) in stalled {
        ends.push((prefix, 0, follow(watch, false).await));
    }
    let mut ended = 0;
    for (prefix, after, end) in ends {
        let expected = part(&history, prefix, after);
        match end {
            Ok(events) => assert_eq!(events, expected, "{prefix} after {after}"),
            Err((events, WatchError::Compacted { oldest })) => {
                ended += 1;
                assert!(events.last().is_none_or(|event| event.0 < oldest));
                assert!(expected.starts_with(&events), "{prefix} after {after}");
            }
            Err((_, other)) => panic!("{other}"),
        }
    }
    assert!(ended >= PREFIXES.len(), "only {ended} watches met a compaction");
}

#[tokio::test]
async fn a_watch_nobody_reads_costs_its_writer_nothing_and_ends_compacted() {
    let place = place();
    let mut options = tiny_window();
    options.retain_revisions = 8;
    let store = Store::open(&place.path, options).unwrap();
    let mut idle = store.watch("/a", 0).unwrap();
    for round in 0..50 {
        write(&store, "/a", &round.to_string()).await;
    }
    match idle.next().await {
        Some(Err(WatchError::Compacted { oldest })) => assert!(oldest > 30),
        other => panic!("{other:?}"),
    }
    assert!(idle.next().await.is_none());
    assert!(idle.try_next().is_none());
}

#[tokio::test]
async fn a_quiet_watch_survives_any_amount_of_other_writes_and_compaction() {
    let place = place();
    let store = Store::open(&place.path, tiny_window()).unwrap();
    let mut quiet = store.watch("/quiet", 0).unwrap();
    for round in 0..50 {
        write(&store, "/busy", &round.to_string()).await;
    }
    store.compact(50).await.unwrap();
    assert_eq!(quiet.progress(), 50, "bookmarks move on");
    write(&store, "/quiet", "at last").await;
    assert_eq!(quiet.next().await.unwrap().unwrap().revision, 51);
}

#[tokio::test]
async fn progress_never_runs_ahead_of_what_was_handed_out() {
    let place = place();
    let store = open(&place.path);
    let mut watch = store.watch("/a", 0).unwrap();
    store.txn(txn(vec![put("/a/1", ""), put("/a/2", "")])).await.unwrap();
    write(&store, "/a/3", "").await;
    write(&store, "/b", "").await;
    let mut progress = vec![watch.progress()];
    while watch.progress() < 3 {
        watch.next().await.unwrap().unwrap();
        progress.push(watch.progress());
    }
    assert_eq!(progress, [0, 0, 1, 3]);
}

#[tokio::test]
async fn watches_share_events_and_their_encodings() {
    let place = place();
    let store = open(&place.path);
    let mut watches: Vec<_> = ["", "/", "/a"].map(|prefix| store.watch(prefix, 0).unwrap()).into();
    write(&store, "/a", "1").await;
    let mut events: Vec<Arc<Event>> = Vec::new();
    for watch in &mut watches {
        events.push(watch.next().await.unwrap().unwrap());
    }
    events[0].encoding(7, || bytes::Bytes::from_static(b"once"));
    assert!(events.iter().all(|event| event.encoding(7, || panic!("made twice")) == "once"));
    assert_eq!(events[0].encoding(8, || bytes::Bytes::from_static(b"other")), "other");
}

/// The waiting side: a watch that found nothing is woken by the next event of its own.
#[tokio::test]
async fn a_waiting_watch_is_woken_by_its_own_events_only() {
    let place = place();
    let store = open(&place.path);
    let mut watch = store.watch("/a", 0).unwrap();
    let waiting =
        tokio::task::JoinSet::from_iter([async move { watch.next().await.unwrap().unwrap().revision }]);
    tokio::task::yield_now().await;
    write(&store, "/b", "").await;
    write(&store, "/a", "").await;
    assert_eq!(waiting.join_all().await, [2]);
}
