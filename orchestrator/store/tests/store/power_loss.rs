//! S4 when the power goes: at any moment, with any part of what was not synced, what was acknowledged as durable is
//! there, and lazy writes are lost only as a suffix whose revisions are never used again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wherry_store::{Durability, Options, Revision, Store, Txn, TxnError, WatchError};

use crate::common::{Row, delete, fold, lazy, options, put, row, rows, seen, txn, until, write};
use crate::memory_disk::{MemoryDisk, Random};

const NAME: &str = "memory";

/// What clients know: every state they were shown by revision, the last revision acknowledged as durable, and the write
/// that they wait for, as key and new value.
#[derive(Clone, Debug, Default)]
struct Known {
    states: BTreeMap<Revision, Vec<Row>>,
    durable: Revision,
    pending: Option<(String, Option<String>)>,
}

impl Known {
    fn last(&self) -> Revision {
        self.states.keys().next_back().copied().unwrap_or(0)
    }

    /// Whether a state is one that was shown, not before the last durable write, or has the unanswered write besides.
    fn explains(&self, state: &[Row]) -> bool {
        let shown = self.states.range(self.durable..).any(|(_, shown)| shown == state);
        shown || self.with_pending() == Some(values(state))
    }

    fn with_pending(&self) -> Option<BTreeMap<&str, &str>> {
        let (key, value) = self.pending.as_ref()?;
        let mut next = self.states.last_key_value().map(|(_, state)| values(state)).unwrap_or_default();
        match value {
            Some(value) => next.insert(key, value),
            None => next.remove(key.as_str()),
        };
        Some(next)
    }
}

fn values(state: &[Row]) -> BTreeMap<&str, &str> {
    state.iter().map(|row| (row.0.as_str(), row.1.as_str())).collect()
}

/// What a power cut left, and what clients knew just before it.
struct Wreck {
    operation: u64,
    image: Vec<u8>,
    known: Known,
}

fn tight() -> Options {
    let mut options = options();
    options.event_window = 8;
    options.retain_revisions = 40;
    options.lazy_interval = Duration::from_millis(3);
    options.settle_interval = Duration::from_millis(1);
    options
}

fn open(disk: MemoryDisk) -> Store {
    Store::open_on(Path::new(NAME), disk, tight()).expect("what a power cut leaves opens")
}

/// Writes for a while and cuts the power at some operations on the way.
async fn run(disk: &MemoryDisk, known: Known, random: &mut Random) -> Vec<Wreck> {
    let known = Arc::new(Mutex::new(known));
    let wrecks = Arc::new(Mutex::new(Vec::new()));
    let (clients, found) = (Arc::clone(&known), Arc::clone(&wrecks));
    let mut chance = random.clone();
    let store = open(disk.clone());
    known.lock().states.insert(store.revision(), rows(&store.snapshot(), ""));
    disk.on_operation(move |operation, cut| {
        if chance.below(12) == 0 {
            let (image, known) = (cut(&mut chance), clients.lock().clone());
            found.lock().push(Wreck { operation, image, known });
        }
    });
    for step in 0..60 {
        let key = format!("/{}", random.below(5));
        let value = (random.below(5) > 0).then(|| step.to_string());
        let op = value.as_ref().map_or_else(|| delete(&key), |value| put(&key, value));
        known.lock().pending = Some((key, value));
        let durability = if random.below(2) == 0 { Durability::Lazy } else { Durability::Durable };
        let revision = store.txn(Txn { durability, ..txn(vec![op]) }).await.expect("the disk works");
        let known = &mut *known.lock();
        known.pending = None;
        let changed = known.states.insert(revision, rows(&store.snapshot(), "")).is_none();
        // A transaction without effect answers a revision that another one made.
        if changed && durability == Durability::Durable {
            known.durable = revision;
        }
    }
    store.close().await;
    std::mem::take(&mut *wrecks.lock())
}

/// Opens a wreck and holds it against what clients knew. Answers what they know now.
async fn check(wreck: Wreck, seed: u64) -> (MemoryDisk, Known) {
    let Wreck { operation, image, known } = wreck;
    let context = format!("seed {seed}, operation {operation}");
    let disk = MemoryDisk::holding(image);
    let store = open(disk.clone());
    let state = rows(&store.snapshot(), "");
    let last_seen = known.last();
    assert!(known.explains(&state), "{context}: {state:?} was never shown since {}", known.durable);
    if store.revision() > last_seen + 1 {
        resumes(&store, &known, &context).await;
    }
    let next = write(&store, "/next", "next").await;
    assert!(next > last_seen, "{context}: revision {next} was used before");
    let mut now = Known::default();
    now.states.insert(next, rows(&store.snapshot(), ""));
    now.durable = next;
    store.close().await;
    (disk, now)
}

/// After a jump over lost revisions, each watch from a revision that was shown leads to the present or says Compacted.
async fn resumes(store: &Store, known: &Known, context: &str) {
    let (last, present) = (store.revision(), rows(&store.snapshot(), ""));
    for (revision, shown) in &known.states {
        let Ok(mut watch) = store.watch("", *revision) else {
            assert!(*revision != known.durable || last > 40, "{context}: a durable revision resumes");
            continue;
        };
        let mut state = shown.iter().map(|row| (row.0.clone(), row.clone())).collect();
        match until(&mut watch, last).await {
            Ok(events) => fold(&mut state, &events),
            Err(WatchError::Compacted { .. }) => continue,
            Err(other) => panic!("{context}: {other}"),
        }
        assert_eq!(state.into_values().collect::<Vec<_>>(), present, "{context}: a watch from {revision}");
    }
}

#[tokio::test]
async fn s4_a_power_cut_at_any_operation_loses_nothing_durable() {
    let mut cuts = 0;
    for seed in 1..=8_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut generation = run(&MemoryDisk::default(), Known::default(), &mut random).await;
        cuts += generation.len();
        // The last wreck is run on and wrecked again: recovery has to survive a cut, too.
        let again = generation.pop();
        for wreck in generation {
            check(wreck, seed).await;
        }
        if let Some(wreck) = again {
            let (disk, known) = check(wreck, seed).await;
            let second = run(&disk, known, &mut random).await;
            cuts += second.len();
            for wreck in second {
                check(wreck, seed).await;
            }
        }
    }
    assert!(cuts > 100, "only {cuts} power cuts were tried");
}

#[tokio::test]
async fn s1_a_lost_lazy_revision_is_a_gap_and_durable_ones_resume() {
    let disk = MemoryDisk::default();
    let mut never = options();
    never.lazy_interval = Duration::from_hours(1);
    let store = Store::open_on(Path::new(NAME), disk.clone(), never).unwrap();
    let lazy = |value| lazy(vec![put("/lease", value)]);
    // The first lazy write reserves revisions, which takes a commit.
    assert_eq!(store.txn(lazy("first")).await.unwrap(), 1);
    assert_eq!(write(&store, "/a", "durable").await, 2);
    assert_eq!(store.txn(lazy("lost")).await.unwrap(), 3);
    assert_eq!(store.get("/lease").unwrap().value, "lost");
    let left = MemoryDisk::holding(disk.after_power_cut(&mut Random(1)));
    drop(store);

    for opening in 1..=2 {
        let store = Store::open_on(Path::new(NAME), left.clone(), options()).unwrap();
        let recovered = store.revision();
        assert!(recovered > 3, "revision 3 was shown");
        assert_eq!(store.get("/lease").unwrap().value, "first");
        assert_eq!(store.watch("", 3).unwrap_err(), WatchError::Compacted { oldest: recovered });
        assert_eq!(store.list_at("", 3).unwrap_err(), WatchError::Compacted { oldest: recovered });
        let mut watch = store.watch("", 1).unwrap();
        assert_eq!(row(&watch.next().await.unwrap().unwrap().entry).3, 2);
        assert_eq!(watch.progress(), recovered);
        if opening == 2 {
            assert_eq!(write(&store, "/b", "new").await, recovered + 1);
            let event = watch.next().await.unwrap().unwrap();
            assert_eq!((seen(&event).0, rows(&store.list_at("", 2).unwrap(), "").len()), (recovered + 1, 2));
        }
        store.close().await;
    }
}

/// Cuts the power again and again until what is left is as wanted.
async fn left_in_time(disk: &MemoryDisk, wanted: impl Fn(Vec<u8>) -> bool) {
    let mut random = Random(3);
    let in_time = tokio::time::timeout(Duration::from_mins(1), async {
        while !wanted(disk.after_power_cut(&mut random)) {
            tokio::task::yield_now().await;
        }
    });
    in_time.await.expect("it gets there without any further write");
}

#[tokio::test]
async fn s4_a_lazy_write_is_durable_after_the_interval() {
    let disk = MemoryDisk::default();
    let mut unsettled = tight();
    unsettled.settle_interval = Duration::from_hours(1);
    let store = Store::open_on(Path::new(NAME), disk.clone(), unsettled).unwrap();
    for value in ["reserving", "lazy"] {
        store.txn(lazy(vec![put("/a", value)])).await.unwrap();
    }
    left_in_time(&disk, |image| {
        let left = open(MemoryDisk::holding(image));
        left.get("/a").is_some_and(|entry| entry.value == "lazy")
    })
    .await;
}

#[tokio::test]
async fn s4_the_number_of_lazy_writes_at_risk_is_bounded() {
    let disk = MemoryDisk::default();
    let mut never = tight();
    (never.lazy_interval, never.settle_interval) = (Duration::from_hours(1), Duration::from_hours(1));
    let store = Store::open_on(Path::new(NAME), disk.clone(), never).unwrap();
    for value in 1..=200_u64 {
        store.txn(lazy(vec![put("/a", &value.to_string())])).await.unwrap();
        let left = open(MemoryDisk::holding(disk.after_power_cut(&mut Random(value))));
        let safe: u64 =
            left.get("/a").map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse().unwrap());
        assert!(safe + 4 >= value, "only {safe} of {value} is safe");
    }
}

/// redb says through a callback when it has to walk a file's pages before it can be used.
#[tokio::test]
async fn an_idle_store_reopens_without_repair_after_a_power_cut() {
    let disk = MemoryDisk::default();
    let store = open(disk.clone());
    write(&store, "/a", "1").await;
    left_in_time(&disk, |image| {
        let repaired = Arc::new(Mutex::new(false));
        let noted = Arc::clone(&repaired);
        let opened = redb::Builder::new()
            .set_repair_callback(move |_| *noted.lock() = true)
            .create_with_backend(MemoryDisk::holding(image));
        drop(opened.expect("what a power cut leaves opens"));
        !*repaired.lock()
    })
    .await;
}

#[tokio::test]
async fn a_failing_disk_makes_the_store_read_only_and_shows_nothing_unsafe() {
    for operations in 0..6 {
        let disk = MemoryDisk::default();
        let store = open(disk.clone());
        write(&store, "/a", "safe").await;
        let mut watch = store.watch("", 1).unwrap();
        disk.fail_after(operations);
        let mut shown = 1;
        loop {
            match store.txn(txn(vec![put("/a", "more")])).await {
                Ok(revision) => shown = revision,
                Err(error) => {
                    assert!(matches!(error, TxnError::Io(_)), "{error:?}");
                    let cause = std::error::Error::source(&error).unwrap().to_string();
                    assert!(cause.contains("the disk is full"), "{cause}");
                    break;
                }
            }
        }
        assert_eq!((store.revision(), store.get("/a").unwrap().mod_revision), (shown, shown));
        assert!(matches!(store.txn(txn(vec![put("/b", "1")])).await, Err(TxnError::Io(_))));
        assert!(matches!(store.txn(lazy(vec![put("/b", "1")])).await, Err(TxnError::Io(_))));
        assert!(matches!(store.flush().await, Err(TxnError::Io(_))));
        while let Some(event) = watch.try_next() {
            assert!(event.revision <= shown);
        }
        let left = disk.after_power_cut(&mut Random(7));
        store.close().await;
        let reopened = open(MemoryDisk::holding(left));
        assert!(reopened.revision() >= shown);
        assert!(reopened.get("/a").is_some());
    }
}
