//! Pods created and bound, through the API: `cargo bench -p wherry-orchestrator --bench scheduling [-- <workload>...]`.
//!
//! The API server with its store is in this process; the scheduler talks to it over TLS from a thread of its own, so that
//! its processor time can be told apart; whoever makes the Pods and counts the bound ones calls the server in process.
//! Prints `figure: name = value unit`. `WHERRY_NODES=500,5000` says on how many nodes.

#[path = "../../../cli/src/allocator.rs"]
mod allocator;
#[path = "../../tests/support/mod.rs"]
#[expect(clippy::unwrap_used, reason = "shared with tests, which fail by panicking")]
mod setup;
mod workload;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wherry_api::clock::SystemClock;
use wherry_orchestrator::ControlPlane;
use wherry_scheduler::Metrics;
use workload::{Workload, node};

/// How many objects are made at once.
const AT_ONCE: usize = 32;
const NAMESPACE: &str = "bench";

fn figure(name: &str, value: f64, unit: &str) {
    writeln!(std::io::stdout(), "figure: {name} = {value:.1} {unit}").expect("stdout takes it");
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small number"))
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

/// The scheduler in a thread of its own.
struct Scheduler {
    stop: CancellationToken,
    thread: JoinHandle<Duration>,
    metrics: Arc<Metrics>,
}

impl Scheduler {
    fn start(kubeconfig: &Path) -> Self {
        let (stop, metrics) = (CancellationToken::new(), Arc::<Metrics>::default());
        let (token, counts, path) = (stop.clone(), metrics.clone(), kubeconfig.to_owned());
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut config = wherry_scheduler::Config::new(Arc::new(SystemClock));
                config.metrics = counts;
                let client = client(&path).await;
                ready.send(()).expect("somebody waits");
                wherry_scheduler::run(client, config, token).await.expect("the scheduler runs");
                processor_time()
            })
        });
        is_ready.recv().expect("the thread starts");
        Self { stop, thread, metrics }
    }

    /// Stops it; returns the processor time it took.
    fn stop(self) -> (Duration, Arc<Metrics>) {
        self.stop.cancel();
        (self.thread.join().expect("the scheduler ends"), self.metrics)
    }
}

async fn client(kubeconfig: &Path) -> Client {
    let text = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config =
        kube::Config::from_custom_kubeconfig(text, &kube::config::KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("it can be read");
    let first = text.split_whitespace().next().and_then(|time| time.parse().ok());
    Duration::from_nanos(first.expect("a number"))
}

/// A server with its nodes.
struct Bench {
    plane: ControlPlane,
    pods: Api<Pod>,
    directory: tempfile::TempDir,
}

impl Bench {
    async fn start(nodes: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = setup::config(directory.path()).await;
        let plane = Box::pin(ControlPlane::start_api(config)).await.expect("a server");
        let client = plane.client("bench", "bench");
        let params = PostParams::default();
        let namespace: Namespace = read(json!({"metadata": {"name": NAMESPACE}}));
        Api::all(client.clone()).create(&params, &namespace).await.expect("a namespace");
        let account: ServiceAccount = read(json!({"metadata": {"name": "default"}}));
        let accounts = Api::namespaced(client.clone(), NAMESPACE);
        accounts.create(&params, &account).await.expect("an account");
        for (name, value) in [("low", -10), ("high", 10)] {
            let class: PriorityClass = read(json!({"metadata": {"name": name}, "value": value}));
            Api::all(client.clone()).create(&params, &class).await.expect("a class");
        }
        let api = Api::<Node>::all(client.clone());
        stream::iter(0..nodes)
            .for_each_concurrent(AT_ONCE, |number| {
                let api = &api;
                async move {
                    let node: Node = read(node(number));
                    api.create(&PostParams::default(), &node).await.expect("a node");
                }
            })
            .await;
        Self { plane, pods: Api::namespaced(client, NAMESPACE), directory }
    }

    async fn create(&self, pods: Vec<Value>) {
        stream::iter(pods)
            .for_each_concurrent(AT_ONCE, |pod| async {
                self.pods.create(&PostParams::default(), &read(pod)).await.expect("a Pod");
            })
            .await;
    }

    /// Makes Pods and waits until so many more are bound, which may be fewer.
    async fn place(&self, pods: Vec<Value>, bound: usize) {
        let params = WatchParams::default().fields("spec.nodeName!=").timeout(290);
        let since = self.pods.list(&ListParams::default().limit(1)).await.expect("a list");
        let since = since.metadata.resource_version.expect("a version");
        let mut events = self.pods.watch(&params, &since).await.expect("a watch").boxed();
        let count = async {
            let mut found = 0;
            while found < bound {
                match events.next().await.expect("an event").expect("a watch") {
                    WatchEvent::Added(_) => found += 1,
                    WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(error) => panic!("{error}"),
                }
            }
        };
        tokio::join!(self.create(pods), count);
    }
}

async fn run(workload: Workload, nodes: usize) {
    let bench = Bench::start(nodes).await;
    let (before, measured) = workload.counts(nodes);
    let scheduler = Scheduler::start(&bench.directory.path().join("kubeconfig"));
    let pods = (0..before).map(|number| workload.before(number)).collect();
    bench.place(pods, if workload == Workload::Unschedulable { 0 } else { before }).await;
    let pods: Vec<_> = (0..measured).map(|number| workload.measured(number, "measured")).collect();
    let begin = Instant::now();
    let churn = async {
        if workload == Workload::MixedChurn {
            let old: Vec<_> = (0..before).map(|number| format!("before-{number}")).collect();
            for name in old {
                bench.pods.delete(&name, &DeleteParams::default()).await.expect("a Pod");
            }
        }
    };
    tokio::join!(bench.place(pods, measured), churn);
    let took = begin.elapsed().as_secs_f64();
    let (processor, metrics) = scheduler.stop();
    let name = format!("scheduling_{}_{nodes}", workload.name());
    figure(&format!("{name}_rate"), float(measured) / took, "pods/s");
    let per_pod = processor.as_secs_f64() * 1e3 / float(before + measured);
    figure(&format!("{name}_scheduler_processor_time"), per_pod, "ms/pod");
    figure(&format!("{name}_cycles_within_1ms"), within_a_millisecond(&metrics.render()), "%");
    bench.plane.shutdown().await;
}

/// How many of a hundred cycles took at most a millisecond.
fn within_a_millisecond(page: &str) -> f64 {
    let value = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let name = "scheduler_scheduling_algorithm_duration_seconds";
    let (quick, all) = (value(&format!("{name}_bucket{{le=\"0.001\"}}")), value(&format!("{name}_count")));
    quick.zip(all).map_or(0.0, |(quick, all)| quick * 100.0 / all)
}

fn main() {
    allocator::give_back_while_idle();
    let asked: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let sizes = std::env::var("WHERRY_NODES").unwrap_or_else(|_| "500,5000".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|size| size.parse().expect("a number of nodes")).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for workload in Workload::ALL {
        if asked.is_empty() || asked.iter().any(|name| name == workload.name()) {
            for nodes in &sizes {
                runtime.block_on(Box::pin(run(workload, *nodes)));
            }
        }
    }
}
