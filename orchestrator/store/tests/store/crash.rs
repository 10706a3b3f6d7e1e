//! S4 when the process is killed: a child of this test writes and says what was acknowledged, is killed at any moment,
//! and the file must hold all of it. Then the next child goes on in the same file.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use wherry_store::{Durability, Revision, Store, Txn};

use crate::common::{open, options, place, put, txn};

/// Names the file for the child; without it, the child's test has nothing to do.
const FILE: &str = "WHERRY_STORE_CRASH_TEST_FILE";
const CHILD: &str = "crash::child_writes_until_it_is_killed";
const ROUNDS: u64 = 25;
const CLIENTS: usize = 32;

/// An acknowledged write, as the child prints it.
#[derive(Clone, Debug, PartialEq)]
struct Acked {
    durable: bool,
    key: String,
    value: u64,
    revision: Revision,
}

impl Acked {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("acked ")?.split(' ');
        let acked = Self {
            durable: words.next()? == "durable",
            key: words.next()?.to_owned(),
            value: words.next()?.parse().ok()?,
            revision: words.next()?.parse().ok()?,
        };
        // The kill may have cut the line; only whole ones end so.
        (words.next() == Some("end")).then_some(acked)
    }
}

/// The child. In a run of all tests, where nobody names a file, it returns at once.
#[tokio::test]
async fn child_writes_until_it_is_killed() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let mut options = options();
    options.event_window = 64;
    options.retain_revisions = 500;
    options.lazy_interval = Duration::from_millis(20);
    options.settle_interval = Duration::from_millis(5);
    let store = Store::open(Path::new(&file), options).expect("the file opens after a kill");
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(write_forever(store.clone(), client));
    }
    clients.join_all().await;
}

async fn write_forever(store: Store, client: usize) {
    let durability = if client.is_multiple_of(4) { Durability::Lazy } else { Durability::Durable };
    let durable = durability != Durability::Lazy;
    let key = format!("/counter/{client}");
    let mut value = store.get(&key).map_or(0, |entry| number(&entry.value));
    loop {
        value += 1;
        let write = Txn { durability, ..txn(vec![put(&key, &value.to_string())]) };
        let revision = store.txn(write).await.expect("the write is accepted");
        let class = if durable { "durable" } else { "lazy" };
        let line = format!("\nacked {class} {key} {value} {revision} end\n");
        std::io::stdout().write_all(line.as_bytes()).expect("the parent listens");
        tokio::task::yield_now().await;
    }
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).expect("digits").parse().expect("digits")
}

fn spawn_child(file: &Path) -> Child {
    Command::new(std::env::current_exe().expect("the path of this test"))
        .args(["--exact", CHILD, "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the child starts")
}

/// Kills the child after some acknowledgements; answers all that it said.
fn acked_until_killed(file: &Path, count: u64) -> Vec<Acked> {
    let mut child = spawn_child(file);
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut acked = Vec::new();
    for line in lines.map_while(Result::ok) {
        acked.extend(Acked::parse(&line));
        if acked.len() as u64 == count {
            child.kill().expect("the child is there to kill");
        }
    }
    let status = child.wait().expect("the child ends");
    assert!(!status.success(), "the child was killed, it did not end by itself");
    acked
}

#[tokio::test]
async fn s4_kill_9_under_load_loses_no_acknowledged_write() {
    let place = place();
    // What was ever shown at a revision, to see that none is used twice.
    let mut shown: HashMap<Revision, (String, u64)> = HashMap::new();
    let mut total = 0;
    for round in 0..ROUNDS {
        let acked = acked_until_killed(&place.path, 1 + 37 * round % 400);
        assert!(!acked.is_empty(), "round {round} acknowledged nothing");
        total += acked.len();
        let mut last = BTreeMap::new();
        for acked in acked {
            let what = (acked.key.clone(), acked.value);
            let before = shown.insert(acked.revision, what.clone());
            assert!(before.is_none(), "round {round}: {before:?} and {what:?} at {}", acked.revision);
            last.insert(acked.key.clone(), acked);
        }
        let store = open(&place.path);
        for (key, acked) in last.into_iter().filter(|(_, acked)| acked.durable) {
            let entry = store.get(&key).unwrap_or_else(|| panic!("round {round}: {key} is gone"));
            let found = number(&entry.value);
            assert!(found >= acked.value, "round {round}: {acked:?} was acknowledged, {found} is there");
            assert_eq!(
                found == acked.value,
                entry.mod_revision == acked.revision,
                "round {round}: {acked:?}"
            );
        }
        drop(store.watch("", store.revision()).expect("a list and watch resumes from what is there"));
        store.close().await;
    }
    assert!(total > 1000, "only {total} writes were acknowledged");
}

/// The very first start is killed as soon as it leaves anything behind.
#[tokio::test]
async fn s4_kill_9_while_the_file_is_made_leaves_a_store_that_opens() {
    for round in 0..ROUNDS {
        let place = place();
        let dir = place.path.parent().expect("a directory");
        let mut child = spawn_child(&place.path);
        let mut looks = 0;
        while looks <= round * 8 {
            assert!(child.try_wait().expect("a child").is_none(), "the child runs until it is killed");
            let something = std::fs::read_dir(dir).expect("a directory").next().is_some();
            looks += u64::from(something);
        }
        child.kill().expect("the child is there to kill");
        child.wait().expect("the child ends");
        open(&place.path).close().await;
    }
}
