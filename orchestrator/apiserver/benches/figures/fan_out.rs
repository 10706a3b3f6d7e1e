//! One write to many watchers of its collection: from sending the write until the last watcher has the event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::lean::Lean;
use crate::report::{figure, ms, percentile};
use crate::server::Server;

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const WATCHERS_OF_A_CONNECTION: usize = 100;
const PATIENCE: Duration = Duration::from_mins(1);

/// Measures the fan-out to more and more watchers.
pub(crate) async fn run() {
    for (watchers, writes) in [(1, 300), (100, 300), (1000, 200), (10_000, 30)] {
        fan_out(watchers, writes).await;
    }
}

/// Counts deliveries and says when all watchers have had theirs.
struct Deliveries {
    arrived: AtomicUsize,
    watchers: usize,
    all: mpsc::UnboundedSender<Instant>,
}

impl Deliveries {
    fn count(&self, events: usize) {
        let before = self.arrived.fetch_add(events, Ordering::Relaxed);
        if before / self.watchers < (before + events) / self.watchers {
            self.all.send(Instant::now()).ok();
        }
    }
}

async fn fan_out(watchers: usize, writes: usize) {
    let server = Server::start();
    let tasks = TaskTracker::new();
    let connections = watchers.div_ceil(WATCHERS_OF_A_CONNECTION);
    let clients = Lean::connect(&server, connections).await;
    let mut writer = Client::connect(&server, 1, &tasks).await.remove(0);
    writer.send("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"default"}}"#).await;
    writer.send("POST", PATH, &object(0)).await;
    let (all, mut delivered) = mpsc::unbounded_channel();
    let deliveries = Arc::new(Deliveries { arrived: AtomicUsize::new(0), watchers, all });
    let before = server.resident_mib();
    let mut watching: JoinSet<()> = JoinSet::new();
    for (at, mut client) in clients.into_iter().enumerate() {
        let deliveries = Arc::clone(&deliveries);
        let count = WATCHERS_OF_A_CONNECTION.min(watchers - at * WATCHERS_OF_A_CONNECTION);
        watching.spawn(async move {
            client.ask(&format!("{PATH}?watch=1&allowWatchBookmarks=false"), count).await;
            loop {
                deliveries.count(client.lines().await);
            }
        });
    }
    // The first round is the object that is there already.
    timeout(PATIENCE, delivered.recv()).await.expect("every watcher starts").expect("an end");
    let mut times = Vec::with_capacity(writes);
    for turn in 1..=writes {
        let start = Instant::now();
        writer.send("PUT", &format!("{PATH}/watched"), &object(turn)).await;
        let end = timeout(PATIENCE, delivered.recv()).await.expect("every watcher is told").expect("an end");
        times.push(ms(end.duration_since(start)));
    }
    let baseline = |value: &'static str| if watchers == 1000 { value } else { "none" };
    figure(
        &format!("api_fan_out_{watchers}_p50"),
        percentile(&mut times, 50),
        "ms",
        baseline("kube-apiserver 19.2 ms"),
    );
    figure(
        &format!("api_fan_out_{watchers}_p99"),
        percentile(&mut times, 99),
        "ms",
        baseline("kube-apiserver 28.2 ms"),
    );
    if watchers >= 1000 {
        let each = (server.resident_mib() - before) * 1024.0 / crate::report::float(watchers);
        figure(&format!("api_memory_per_watcher_of_{watchers}"), each, "KiB", "none");
    }
}

fn object(turn: usize) -> String {
    let data = format!("{turn:0>256}");
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"watched"}},"data":{{"key":"{data}"}}}}"#
    )
}
