//! The store's parts, one by one: `cargo bench -p wherry-store --bench store`.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use divan::{Bencher, black_box, counter::ItemsCount};
use tokio::runtime::Runtime;
use wherry_store::{Attributes, Durability, Op, Options, Store, Txn};

const OBJECTS: usize = 2000;
const VALUE: [u8; 1024] = [b'x'; 1024];

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn open(path: &Path) -> Store {
    let options = Options::new(Arc::new(|_: &str, _: &[u8]| Attributes::default()), Arc::new(|| 1));
    Store::open(path, options).expect("the store opens")
}

fn put(key: String, durability: Durability) -> Txn {
    let op = Op::Put { key, value: Bytes::from_static(&VALUE), revision_at: Some(1) };
    Txn { ops: vec![op], durability, ..Txn::default() }
}

fn key(index: usize) -> String {
    format!("/registry/pods/default/pod-{index:05}")
}

/// A store of 2,000 pods and as many other objects.
fn filled(runtime: &Runtime) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("state.redb"));
    runtime.block_on(async {
        for index in 0..OBJECTS {
            let other = format!("/registry/configmaps/default/map-{index:05}");
            for key in [key(index), other] {
                store.txn(put(key, Durability::Lazy)).await.expect("accepted");
            }
        }
    });
    (dir, store)
}

#[divan::bench]
fn get(bencher: Bencher) {
    let runtime = runtime();
    let (_dir, store) = filled(&runtime);
    let wanted = key(777);
    bencher.bench(|| black_box(store.get(&wanted)));
}

#[divan::bench]
fn snapshot(bencher: Bencher) {
    let runtime = runtime();
    let (_dir, store) = filled(&runtime);
    bencher.bench(|| black_box(store.snapshot()));
}

/// What a LIST of all pods copies out.
#[divan::bench]
fn list_2000(bencher: Bencher) {
    let runtime = runtime();
    let (_dir, store) = filled(&runtime);
    bencher.counter(ItemsCount::new(OBJECTS)).bench(|| {
        let snapshot = store.snapshot();
        let mut body = Vec::with_capacity(OBJECTS * 1100);
        for entry in snapshot.range("/registry/pods/", None) {
            body.extend_from_slice(&entry.value);
        }
        body
    });
}

/// The state 1,000 events back, as a list's second page asks for it.
#[divan::bench]
fn list_at_1000_events_back(bencher: Bencher) {
    let runtime = runtime();
    let (_dir, store) = filled(&runtime);
    let revision = store.revision() - 1000;
    bencher.bench(|| store.list_at("/registry/pods/", revision).expect("kept"));
}

#[divan::bench]
fn put_lazy(bencher: Bencher) {
    let runtime = runtime();
    let (_dir, store) = filled(&runtime);
    bencher.bench(|| runtime.block_on(store.txn(put(key(1), Durability::Lazy))).expect("accepted"));
}

#[divan::bench]
fn put_durable(bencher: Bencher) {
    let runtime = runtime();
    let (_dir, store) = filled(&runtime);
    bencher.bench(|| runtime.block_on(store.txn(put(key(1), Durability::Durable))).expect("accepted"));
}

/// One write until every watch of its prefix has the event, beside watches of other prefixes.
#[divan::bench(args = [1, 100, 1000])]
fn watch_fan_out(bencher: Bencher, watches: usize) {
    let runtime = runtime();
    let (_dir, store) = filled(&runtime);
    let now = store.revision();
    let watch = |prefix: &str| store.watch(prefix, now).expect("the present can be watched");
    let mut concerned: Vec<_> = (0..watches).map(|_| watch("/registry/pods/")).collect();
    let _idle: Vec<_> = (0..1000).map(|index| watch(&format!("/registry/leases/{index}"))).collect();
    bencher.counter(ItemsCount::new(watches)).bench_local(|| {
        runtime.block_on(async {
            store.txn(put(key(1), Durability::Lazy)).await.expect("accepted");
            for watch in &mut concerned {
                black_box(watch.next().await.expect("open").expect("kept"));
            }
        });
    });
}

#[divan::bench]
fn reopen_4000_objects(bencher: Bencher) {
    let runtime = runtime();
    let (dir, store) = filled(&runtime);
    runtime.block_on(store.close());
    let path = dir.path().join("state.redb");
    bencher.bench_local(|| {
        let store = open(&path);
        runtime.block_on(store.close());
    });
}
