//! Any sequence of operations against the plainest model there is: a list of all states and all events. On a disk in
//! memory, so that many sequences are tried; what real disks do is the matter of `power_loss.rs` and `crash.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use wherry_store::{
    Durability, Op, Options, Precondition, Revision, Store, Txn, TxnError, WatchError, WriterTask,
};

use crate::common::{Row, Seen, options, row, rows, until};
use crate::memory_disk::MemoryDisk;

const KEYS: [&str; 6] = ["/a", "/a/1", "/a/2", "/b/1", "/b/1/x", "/c"];
const PREFIXES: [&str; 5] = ["", "/a", "/a/", "/b/1", "/none"];

#[derive(Clone, Debug)]
enum Step {
    Txn(Txn),
    /// The position is a share of the current revision, in 255ths, and a bit more.
    Compact(u8),
    Watch {
        prefix: &'static str,
        after: u8,
    },
    ListAt {
        prefix: &'static str,
        at: u8,
    },
    Flush,
    Reopen {
        window: usize,
        writer: WriterTask,
    },
}

/// The store as it should be, at each revision since the start.
#[derive(Debug)]
struct Model {
    states: Vec<BTreeMap<String, Row>>,
    events: Vec<Seen>,
    compacted: Revision,
}

impl Model {
    fn revision(&self) -> Revision {
        self.states.len() as Revision - 1
    }

    fn current(&self) -> &BTreeMap<String, Row> {
        self.states.last().expect("there is always a state")
    }

    fn at(&self, revision: Revision) -> &BTreeMap<String, Row> {
        &self.states[usize::try_from(revision).expect("small")]
    }

    fn position(&self, share: u8) -> Revision {
        (self.revision() + 2) * u64::from(share) / 255
    }

    /// What applying a transaction answers: its revision, or the key of the precondition that failed.
    fn apply(&mut self, txn: &Txn) -> Result<Revision, String> {
        let current = self.current();
        for precondition in &txn.preconditions {
            let found = current.get(precondition.key()).map(|row| row.3);
            let holds = match precondition {
                Precondition::Absent { .. } => found.is_none(),
                Precondition::Exists { .. } => found.is_some(),
                Precondition::ModRevision { revision, .. } => found == Some(*revision),
                Precondition::Holds { key, value, revision_at } => {
                    current.get(key).is_some_and(|row| row.1 == text(value, *revision_at, row.3))
                }
            };
            if !holds {
                return Err(precondition.key().to_owned());
            }
        }
        let (mut next, revision) = (current.clone(), self.revision() + 1);
        let mut events: Vec<Seen> = txn.ops.iter().filter_map(|op| write(&mut next, op, revision)).collect();
        if events.is_empty() {
            return Ok(revision - 1);
        }
        events.sort_by(|a, b| a.2.0.cmp(&b.2.0));
        self.events.extend(events);
        self.states.push(next);
        Ok(revision)
    }

    fn start(&self, revision: Revision) -> Result<(), WatchError> {
        if revision > self.revision() {
            Err(WatchError::Future { current: self.revision() })
        } else if revision < self.compacted {
            Err(WatchError::Compacted { oldest: self.compacted })
        } else {
            Ok(())
        }
    }

    fn events(&self, prefix: &str, after: Revision) -> Vec<Seen> {
        let wanted = |event: &&Seen| event.0 > after && event.2.0.starts_with(prefix);
        self.events.iter().filter(wanted).cloned().collect()
    }
}

fn write(state: &mut BTreeMap<String, Row>, op: &Op, revision: Revision) -> Option<Seen> {
    let prev = state.get(op.key()).cloned();
    match op {
        Op::Delete { key } => {
            let old = state.remove(key)?;
            Some((revision, true, (old.0, old.1, old.2, revision), prev))
        }
        Op::Put { key, value, revision_at } => {
            let text = text(value, *revision_at, revision);
            let created = prev.as_ref().map_or(revision, |prev| prev.2);
            let row = (key.clone(), text, created, revision);
            state.insert(key.clone(), row.clone());
            Some((revision, false, row, prev))
        }
    }
}

fn text(value: &Bytes, revision_at: Option<usize>, revision: Revision) -> String {
    let mut text = String::from_utf8(value.to_vec()).expect("letters");
    if let Some(at) = revision_at {
        text.insert_str(at, &revision.to_string());
    }
    text
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(&KEYS[..]).prop_map(str::to_owned)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (key(), "[a-z]{0,6}", prop::option::of(any::<prop::sample::Index>())).prop_map(|(key, text, at)| {
            let revision_at = at.map(|at| at.index(text.len() + 1));
            Op::Put { key, value: Bytes::from(text), revision_at }
        }),
        1 => key().prop_map(|key| Op::Delete { key }),
    ]
}

fn precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        key().prop_map(|key| Precondition::Absent { key }),
        key().prop_map(|key| Precondition::Exists { key }),
        (key(), 0..12_u64).prop_map(|(key, revision)| Precondition::ModRevision { key, revision }),
        (key(), "[a-z]{0,1}", prop::option::of(Just(0))).prop_map(|(key, text, revision_at)| {
            Precondition::Holds { key, value: Bytes::from(text), revision_at }
        }),
    ]
}

fn transaction() -> impl Strategy<Value = Txn> {
    let preconditions = prop::collection::vec(precondition(), 0..3);
    let durability = prop::sample::select(vec![Durability::Durable, Durability::Lazy]);
    (preconditions, prop::collection::vec(op(), 0..4), durability).prop_map(
        |(preconditions, mut ops, durability)| {
            let mut keys = std::collections::HashSet::new();
            ops.retain(|op| keys.insert(op.key().to_owned()));
            Txn { preconditions, ops, durability }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let prefix = || prop::sample::select(&PREFIXES[..]);
    prop_oneof![
        12 => transaction().prop_map(Step::Txn),
        1 => any::<u8>().prop_map(Step::Compact),
        3 => (prefix(), any::<u8>()).prop_map(|(prefix, after)| Step::Watch { prefix, after }),
        3 => (prefix(), any::<u8>()).prop_map(|(prefix, at)| Step::ListAt { prefix, at }),
        1 => Just(Step::Flush),
        1 => (0..6_usize, prop_oneof![Just(WriterTask::Thread), Just(WriterTask::Caller)])
            .prop_map(|(window, writer)| Step::Reopen { window, writer }),
    ]
}

fn with(window: usize, writer: WriterTask) -> Options {
    let mut options = options();
    options.event_window = window;
    options.writer = writer;
    options.lazy_interval = Duration::from_hours(1);
    options
}

fn open(disk: &MemoryDisk, window: usize, writer: WriterTask) -> Store {
    Store::open_on(Path::new("memory"), disk.clone(), with(window, writer)).expect("the store opens")
}

async fn take(store: Store, model: &mut Model, step: Step, disk: &MemoryDisk) -> Store {
    match step {
        Step::Txn(txn) => transact(&store, model, txn).await,
        Step::Compact(share) => {
            let revision = model.position(share);
            assert_eq!(store.compact(revision).await.is_ok(), revision <= model.revision());
            if revision <= model.revision() {
                model.compacted = model.compacted.max(revision);
            }
        }
        Step::Watch { prefix, after } => {
            let after = model.position(after);
            match (store.watch(prefix, after), model.start(after)) {
                (Ok(mut watch), Ok(())) => {
                    let events = until(&mut watch, model.revision()).await;
                    assert_eq!(events, Ok(model.events(prefix, after)));
                }
                (watch, expected) => assert_eq!(watch.map(|_| ()), expected),
            }
        }
        Step::ListAt { prefix, at } => {
            let at = model.position(at);
            match (store.list_at(prefix, at), model.start(at)) {
                (Ok(snapshot), Ok(())) => {
                    let under = |row: &&Row| row.0.starts_with(prefix);
                    let expected: Vec<Row> = model.at(at).values().filter(under).cloned().collect();
                    assert_eq!((snapshot.revision(), rows(&snapshot, prefix)), (at, expected));
                }
                (list, expected) => assert_eq!(list.map(|_| ()), expected),
            }
        }
        Step::Flush => store.flush().await.expect("the disk works"),
        Step::Reopen { window, writer } => {
            store.close().await;
            return open(disk, window, writer);
        }
    }
    store
}

async fn transact(store: &Store, model: &mut Model, txn: Txn) {
    let expected = model.apply(&txn);
    match store.txn(txn).await {
        Ok(revision) => assert_eq!(Ok(revision), expected),
        Err(TxnError::Conflict { key, found }) => {
            assert_eq!(found.as_deref().map(row).as_ref(), model.current().get(&key));
            assert_eq!(Err(key), expected);
        }
        Err(other) => panic!("{other}"),
    }
}

async fn agree(steps: Vec<Step>) {
    let disk = MemoryDisk::default();
    let mut model = Model { states: vec![BTreeMap::new()], events: Vec::new(), compacted: 0 };
    let mut store = open(&disk, 4, WriterTask::Thread);
    let mut live = store.watch("", 0).expect("the start can be watched");
    let mut lived = Vec::new();
    for step in steps {
        let reopened = matches!(step, Step::Reopen { .. });
        store = take(store, &mut model, step, &disk).await;
        if reopened {
            lived.clear();
            live = store.watch("", model.revision()).expect("the present can be watched");
        }
        lived.extend(
            until(&mut live, model.revision()).await.expect("a watch that keeps up is not compacted"),
        );
        assert_eq!(store.revision(), model.revision());
        assert_eq!(rows(&store.snapshot(), ""), model.current().values().cloned().collect::<Vec<_>>());
    }
    assert!(model.events.ends_with(&lived), "a watch said {lived:?}");
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(agree(steps));
    }
}
