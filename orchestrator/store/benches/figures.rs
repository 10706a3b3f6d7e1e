//! The figures of `docs/benchmarks.md`, each beside a baseline of the same run:
//! `cargo bench -p wherry-store --bench figures`. Prints `figure: name = value unit, baseline ...`, medians of 5.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, TableDefinition};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wherry_store::{Attributes, Durability, Op, Options, Store, Txn};

const RUNS: usize = 5;
const RUN: Duration = Duration::from_millis(600);
const VALUE: [u8; 1024] = [b'x'; 1024];
const LISTED: usize = 2000;
const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        durable_puts().await;
        reads().await;
        fan_out().await;
        memory_and_reopening().await;
    });
}

fn figure(name: &str, value: f64, unit: &str, baseline: &str) {
    let precision = if value < 100.0 { 2 } else { 0 };
    writeln!(std::io::stdout(), "figure: {name} = {value:.precision$} {unit}, baseline {baseline}")
        .expect("standard output");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn open(path: &Path) -> Store {
    let start = Instant::now();
    let clock = move || u64::try_from(start.elapsed().as_millis()).expect("a short run");
    let extractor = |_: &str, _: &[u8]| Attributes::default();
    Store::open(path, Options::new(Arc::new(extractor), Arc::new(clock))).expect("the store opens")
}

fn put(key: String, value: Bytes, durability: Durability) -> Txn {
    Txn { ops: vec![Op::Put { key, value, revision_at: Some(1) }], durability, ..Txn::default() }
}

fn key(index: usize) -> String {
    format!("/registry/pods/default/pod-{index:05}")
}

fn per_second(count: usize, since: Instant) -> f64 {
    f64::from(u32::try_from(count).expect("a short run")) / since.elapsed().as_secs_f64()
}

/// 1 KiB objects, `clients` writers at a time, each waiting for its answer.
async fn durable_puts() {
    let baseline = median((0..RUNS).map(|_| raw_redb_puts()).collect());
    for clients in [1, 32, 128] {
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            rates.push(store_puts(clients).await);
        }
        let baseline = format!("raw redb with one commit per put {baseline:.0} /s");
        figure(&format!("store_durable_puts_{clients}_clients"), median(rates), "/s", &baseline);
    }
}

async fn store_puts(clients: usize) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("state.redb"));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let store = store.clone();
        tasks.spawn(async move {
            let mut count = 0;
            while start.elapsed() < RUN {
                let write =
                    put(key(client * 1000 + count % 100), Bytes::from_static(&VALUE), Durability::Durable);
                store.txn(write).await.expect("accepted");
                count += 1;
            }
            count
        });
    }
    let count = tasks.join_all().await.into_iter().sum();
    let rate = per_second(count, start);
    store.close().await;
    rate
}

fn raw_redb_puts() -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let database = Database::create(dir.path().join("raw.redb")).expect("a database");
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < RUN {
        let transaction = database.begin_write().expect("a transaction");
        let key = key(count % 100);
        transaction.open_table(TABLE).expect("a table").insert(&*key, VALUE.as_slice()).expect("inserted");
        transaction.commit().expect("committed");
        count += 1;
    }
    per_second(count, start)
}

async fn filled(path: &Path, objects: usize, value: &Bytes) -> Store {
    let store = open(path);
    for index in 0..objects {
        store.txn(put(key(index), value.clone(), Durability::Lazy)).await.expect("accepted");
    }
    store
}

async fn reads() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = filled(&dir.path().join("state.redb"), LISTED, &Bytes::from_static(&VALUE)).await;
    let raw = Database::create(dir.path().join("raw.redb")).expect("a database");
    let transaction = raw.begin_write().expect("a transaction");
    for index in 0..LISTED {
        let mut table = transaction.open_table(TABLE).expect("a table");
        table.insert(&*key(index), VALUE.as_slice()).expect("inserted");
    }
    transaction.commit().expect("committed");

    let keys: Vec<String> = (0..LISTED).map(key).collect();
    let gets = rate(|turn| drop(store.get(&keys[turn % LISTED]).expect("there")));
    let raw_gets = rate(|turn| drop(raw_get(&raw, &keys[turn % LISTED])));
    figure("store_get", gets, "/s", &format!("raw redb in a read transaction each {raw_gets:.0} /s"));
    let lists = rate(|_| assert!(list(&store) > LISTED * VALUE.len()));
    let raw_lists = rate(|_| assert!(raw_list(&raw) >= LISTED * VALUE.len()));
    figure("store_list_2000", lists, "/s", &format!("raw redb range {raw_lists:.0} /s"));
}

/// Calls per second, the median of the runs.
fn rate(mut act: impl FnMut(usize)) -> f64 {
    let one = |_| {
        let start = Instant::now();
        let mut turn = 0;
        while start.elapsed() < RUN / 2 {
            for _ in 0..16 {
                act(turn);
                turn += 1;
            }
        }
        per_second(turn, start)
    };
    median((0..RUNS).map(one).collect())
}

fn list(store: &Store) -> usize {
    let mut body = Vec::with_capacity(LISTED * 1100);
    for entry in store.snapshot().range("/registry/pods/", None) {
        body.extend_from_slice(&entry.value);
    }
    body.len()
}

fn raw_get(raw: &Database, key: &str) -> Vec<u8> {
    let table = raw.begin_read().expect("a transaction").open_table(TABLE).expect("a table");
    table.get(key).expect("read").expect("there").value().to_vec()
}

fn raw_list(raw: &Database) -> usize {
    let table = raw.begin_read().expect("a transaction").open_table(TABLE).expect("a table");
    let mut body = Vec::with_capacity(LISTED * 1100);
    for row in table.range("/registry/pods/"..).expect("read") {
        body.extend_from_slice(row.expect("read").1.value());
    }
    body.len()
}

/// From a write until 1,000 watches of its prefix have the event, with 1,000 idle ones beside; the baseline sends a copy
/// through a channel to each.
async fn fan_out() {
    const WATCHES: usize = 1000;
    let dir = tempfile::tempdir().expect("a directory");
    let store = filled(&dir.path().join("state.redb"), 10, &Bytes::from_static(&VALUE)).await;
    let now = store.revision();
    let mut watches: Vec<_> =
        (0..WATCHES).map(|_| store.watch("/registry/pods/", now).expect("kept")).collect();
    let _idle: Vec<_> =
        (0..WATCHES).map(|index| store.watch(&format!("/idle/{index}"), now).expect("kept")).collect();
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let mut events = 0;
        while start.elapsed() < RUN {
            store.txn(put(key(1), Bytes::from_static(&VALUE), Durability::Lazy)).await.expect("accepted");
            for watch in &mut watches {
                watch.next().await.expect("open").expect("kept");
                events += 1;
            }
        }
        rates.push(per_second(events, start));
    }
    let baseline = format!("a copy into a channel for each {:.0} /s", channel_copies(WATCHES).await);
    figure("store_watch_fan_out_1000", median(rates), "events/s", &baseline);
}

async fn channel_copies(watches: usize) -> f64 {
    let mut channels: Vec<_> =
        (0..watches).map(|_| tokio::sync::mpsc::unbounded_channel::<Vec<u8>>()).collect();
    let start = Instant::now();
    let mut events = 0;
    while start.elapsed() < RUN {
        for (sender, _) in &channels {
            sender.send(VALUE.to_vec()).expect("open");
        }
        for (_, receiver) in &mut channels {
            receiver.recv().await.expect("sent");
            events += 1;
        }
    }
    per_second(events, start)
}

/// 10,000 objects of 5 KB: what one costs beyond its bytes, and how long the store takes to open with all.
async fn memory_and_reopening() {
    const OBJECTS: usize = 10_000;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let value = Bytes::from(vec![b'x'; 5000]);
    filled(&path, OBJECTS, &value).await.close().await;
    let mut times = Vec::new();
    let before = resident_kib();
    let mut after = before;
    for run in 0..RUNS {
        let start = Instant::now();
        let store = open(&path);
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        if run == 0 {
            after = resident_kib();
        }
        store.close().await;
    }
    let per_object = (after - before) * 1024.0 / f64::from(u32::try_from(OBJECTS).expect("few"));
    figure("store_open_10000_objects", median(times), "ms", "none");
    figure("store_memory_per_object_of_5000_bytes", per_object, "bytes", "5005 bytes of value");
}

fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}
