//! Pods created and bound, through the API: `cargo bench -p wherry-orchestrator --bench scheduling [-- <workload>...]`.
//!
//! The API server with its store is in this process; the scheduler talks to it over TLS from a thread of its own, so that
//! its processor time can be told apart (`WHERRY_SCHEDULER=in_process`: without TLS and HTTP, as in `wherry up`); whoever
//! makes the Pods and counts the bound ones calls the server in process. Prints `figure: name = value unit`.
//! `WHERRY_NODES=500,5000` says on how many nodes.

#[path = "../../../cli/src/allocator.rs"]
mod allocator;
#[path = "../../tests/support/mod.rs"]
#[expect(clippy::unwrap_used, reason = "shared with tests, which fail by panicking")]
mod setup;
mod workload;

use std::convert::Infallible;
use std::fmt::Debug;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::core::Request;
use kube::{Api, Client, Resource};
use rustls_pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use wherry_api::clock::SystemClock;
use wherry_orchestrator::ControlPlane;
use wherry_scheduler::Metrics;
use workload::{Workload, churned_node, churned_pod, churned_service, node};

/// How many objects are made at once.
const AT_ONCE: usize = 32;
const NAMESPACE: &str = "bench";
/// How often the churn of `mixed_churn` takes its turn. Upstream's does once a second, in runs of many seconds.
const CHURN: Duration = Duration::from_millis(20);

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
    thread: JoinHandle<()>,
    /// The kernel's number of the thread.
    number: i32,
    metrics: Arc<Metrics>,
}

impl Scheduler {
    /// By a client that is made in its thread.
    fn start(client: impl Future<Output = Client> + Send + 'static) -> Self {
        let (stop, metrics) = (CancellationToken::new(), Arc::<Metrics>::default());
        let (token, counts) = (stop.clone(), metrics.clone());
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut config = wherry_scheduler::Config::new(Arc::new(SystemClock));
                config.metrics = counts;
                let client = client.await;
                let number = rustix::thread::gettid().as_raw_nonzero().get();
                ready.send(number).expect("somebody waits");
                wherry_scheduler::run(client, config, token).await.expect("the scheduler runs");
            });
        });
        let number = is_ready.recv().expect("the thread starts");
        Self { stop, thread, number, metrics }
    }

    /// The processor time it has taken.
    fn processor_time(&self) -> Duration {
        let path = format!("/proc/self/task/{}/schedstat", self.number);
        let text = std::fs::read_to_string(path).expect("it can be read");
        let first = text.split_whitespace().next().and_then(|time| time.parse().ok());
        Duration::from_nanos(first.expect("a number"))
    }

    fn stop(self) -> Arc<Metrics> {
        self.stop.cancel();
        self.thread.join().expect("the scheduler ends");
        self.metrics
    }
}

/// A client that sends all over one HTTP/2 connection, as client-go does.
async fn remote(kubeconfig: PathBuf) -> Client {
    let text = kube::config::Kubeconfig::read_from(&kubeconfig).expect("a kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(text, &options).await.expect("a configuration");
    let mut tls = config.rustls_client_config().expect("a configuration of TLS");
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let host = config.cluster_url.host().expect("a host").to_owned();
    let stream = TcpStream::connect((host.as_str(), config.cluster_url.port_u16().expect("a port"))).await;
    let stream = stream.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from(host).expect("a name of a server");
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("TLS");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.expect("HTTP/2");
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        // It lasts as long as the client.
        let _ = &connections;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json;managedFields=omit"));
        sender.clone().send_request(request)
    });
    let builder = ClientBuilder::new(service, config.default_namespace.clone());
    builder.with_layer(&config.base_uri_layer()).build()
}

/// A server with its nodes.
struct Bench {
    plane: ControlPlane,
    client: Client,
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
        Self { plane, pods: Api::namespaced(client.clone(), NAMESPACE), client, directory }
    }

    /// Makes Pods, without a look at what the server answers but that it did: what is measured is not the client.
    async fn create(&self, pods: Vec<Value>) {
        stream::iter(pods)
            .for_each_concurrent(AT_ONCE, |pod| async move {
                let request = http::Request::post(self.pods.resource_url());
                let request = request.header(CONTENT_TYPE, "application/json");
                let request = request.body(pod.to_string().into_bytes()).expect("a request");
                self.client.request_text(request).await.expect("a Pod");
            })
            .await;
    }

    fn schedule(&self, way: Way) -> Scheduler {
        match way {
            Way::InProcess => {
                let client = self.plane.client("system:kube-scheduler", "kube-scheduler");
                Scheduler::start(std::future::ready(client))
            }
            Way::Http => Scheduler::start(remote(self.directory.path().join("kubeconfig"))),
        }
    }

    /// What is told of Pods that have a node, from now on.
    async fn bound(&self) -> Bound {
        let params = WatchParams::default().fields("spec.nodeName!=").timeout(290);
        let since = self.pods.list(&ListParams::default().limit(1)).await.expect("a list");
        let since = since.metadata.resource_version.expect("a version");
        let request = Request::new(self.pods.resource_url()).watch(&params, &since).expect("a request");
        Bound(self.client.request_events(request).await.expect("a watch").boxed())
    }

    /// Makes Pods and waits until so many more are bound, which may be fewer.
    async fn place(&self, pods: Vec<Value>, count: usize) {
        let bound = self.bound().await;
        tokio::join!(self.create(pods), bound.count(count));
    }

    /// Waits until events tell of so many bindings: what came before is not to be measured.
    async fn events(&self, count: usize) {
        let events = Api::<Event>::namespaced(self.client.clone(), NAMESPACE);
        loop {
            let list = events.list(&ListParams::default().limit(1)).await.expect("a list");
            let rest =
                list.metadata.remaining_item_count.map_or(0, |rest| usize::try_from(rest).expect("a count"));
            if list.items.len() + rest >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes and deletes a node, a Pod that fits nowhere and outranks the others, and a Service, again and again.
    async fn churn(&self) -> Infallible {
        let client = self.client.clone();
        let (nodes, services) =
            (Api::<Node>::all(client.clone()), Api::<Service>::namespaced(client, NAMESPACE));
        let mut pace = tokio::time::interval(CHURN);
        for is_there in [false, true].into_iter().cycle() {
            pace.tick().await;
            flip(&nodes, "node-churn", churned_node(), is_there).await;
            flip(&self.pods, "pod-churn", churned_pod(), is_there).await;
            flip(&services, "service-churn", churned_service(), is_there).await;
        }
        unreachable!("the turns never end")
    }
}

/// The watch of the Pods that have a node.
struct Bound(BoxStream<'static, kube::Result<WatchEvent<Anything>>>);

/// An object of which nothing but its presence matters.
#[derive(Clone, Deserialize)]
struct Anything {}

impl Bound {
    /// Waits until so many more are.
    async fn count(mut self, count: usize) {
        let mut found = 0;
        while found < count {
            match self.0.next().await.expect("an event").expect("a watch") {
                WatchEvent::Added(_) => found += 1,
                WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(error) => panic!("{error}"),
            }
        }
    }
}

/// Makes an object, or deletes it if it is there.
async fn flip<K>(api: &Api<K>, name: &str, object: Value, is_there: bool)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
{
    if is_there {
        api.delete(name, &DeleteParams::default()).await.expect("it is there");
    } else {
        api.create(&PostParams::default(), &read(object)).await.expect("it is not there");
    }
}

/// How the scheduler reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As in `wherry up`.
    InProcess,
    /// Over TLS.
    Http,
}

impl Way {
    fn asked_for() -> Self {
        match std::env::var("WHERRY_SCHEDULER").as_deref() {
            Ok("in_process") => Self::InProcess,
            Ok("http") | Err(_) => Self::Http,
            Ok(other) => panic!("WHERRY_SCHEDULER is in_process or http, not {other:?}"),
        }
    }

    /// What its figures are called.
    fn prefix(self) -> &'static str {
        match self {
            Self::InProcess => "scheduling_in_process",
            Self::Http => "scheduling",
        }
    }
}

async fn run(workload: Workload, nodes: usize, way: Way) {
    let bench = Bench::start(nodes).await;
    let (before, measured) = workload.counts(nodes);
    let pods: Vec<_> = (0..measured).map(|number| workload.measured(number, "measured")).collect();
    let (scheduler, begin, processor) = if workload == Workload::Backlog {
        bench.create(pods).await;
        let bound = bench.bound().await;
        let (scheduler, begin) = (bench.schedule(way), Instant::now());
        bound.count(measured).await;
        (scheduler, begin, Duration::ZERO)
    } else {
        let scheduler = bench.schedule(way);
        let old = (0..before).map(|number| workload.before(number)).collect();
        let placed = if workload == Workload::Unschedulable { 0 } else { before };
        bench.place(old, placed).await;
        bench.events(placed).await;
        let (begin, processor) = (Instant::now(), scheduler.processor_time());
        let placed = bench.place(pods, measured);
        if workload == Workload::MixedChurn {
            // The churn goes on as long as Pods are placed.
            tokio::select! {
                () = placed => {}
                never = bench.churn() => match never {},
            }
        } else {
            placed.await;
        }
        (scheduler, begin, processor)
    };
    let took = begin.elapsed().as_secs_f64();
    let processor = scheduler.processor_time().saturating_sub(processor);
    let metrics = scheduler.stop();
    let name = format!("{}_{}_{nodes}", way.prefix(), workload.name());
    figure(&format!("{name}_rate"), float(measured) / took, "pods/s");
    let per_pod = processor.as_secs_f64() * 1e6 / float(measured);
    figure(&format!("{name}_scheduler_processor_time"), per_pod, "us/pod");
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
    let way = Way::asked_for();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for workload in Workload::ALL {
        if asked.is_empty() || asked.iter().any(|name| name == workload.name()) {
            for nodes in &sizes {
                runtime.block_on(Box::pin(run(workload, *nodes, way)));
            }
        }
    }
}
