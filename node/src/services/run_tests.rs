//! The whole way, from an object at the API server to a connection that arrives; and that nobody notices when
//! endpoints are replaced.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;

use super::tests::{Node, backend, config, key, web};
use super::*;
use crate::network::testing::{ask_tcp, isolated, serve_tcp};

/// An API server with one list of Services, one of EndpointSlices and a watch on each; there are no Nodes.
struct Api {
    lists: [Value; 3],
    watches: [Mutex<Option<UnboundedReceiver<Value>>>; 3],
    /// Keeps the watch on Nodes open.
    _nodes: UnboundedSender<Value>,
}

/// Sends watch events: of Services and of EndpointSlices.
type Events = [UnboundedSender<Value>; 2];

impl Api {
    fn client(services: &[Value], slices: &[Value]) -> (Client, Events) {
        let list = |kind: &str, version: &str, items: &[Value]| json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items});
        let ((to_services, services_watch), (to_slices, slices_watch)) =
            (unbounded_channel(), unbounded_channel());
        let (nodes, nodes_watch) = unbounded_channel();
        let api = Arc::new(Self {
            lists: [
                list("ServiceList", "v1", services),
                list("EndpointSliceList", "discovery.k8s.io/v1", slices),
                list("NodeList", "v1", &[]),
            ],
            watches: [services_watch, slices_watch, nodes_watch].map(|watch| Mutex::new(Some(watch))),
            _nodes: nodes,
        });
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(&request)) }
        });
        (Client::new(service, "default"), [to_services, to_slices])
    }

    fn answer(&self, request: &Request<Body>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let kinds = ["/services", "/endpointslices", "/nodes"];
        let at = kinds.iter().position(|kind| request.uri().path().ends_with(kind)).expect("a known kind");
        let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        if !watch {
            return Response::new(Full::from(self.lists[at].to_string()).boxed_unsync());
        }
        let events = self.watches[at].lock().take().expect("one watch of each kind");
        let frames = futures::stream::unfold(events, |mut events| async move {
            let event: Value = events.recv().await?;
            let frame = Frame::data(Bytes::from(format!("{event}\n")));
            Some((Ok::<_, Infallible>(frame), events))
        });
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

fn service(cluster_ip: &str) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": "web", "resourceVersion": "1"},
        "spec": {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ports": [{"port": 80, "protocol": "TCP"}]},
    })
}

fn slice(ips: &[String]) -> Value {
    let endpoint =
        |ip: &String| json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": "node-1"});
    json!({
        "metadata": {
            "namespace": "default", "name": "web-1", "resourceVersion": "2",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": ips.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

/// Waits until connections to the address are answered so, or fail if `expected` is `None`.
async fn answers(address: &'static str, expected: Option<&str>) {
    let answered = async {
        loop {
            let answer = tokio::task::spawn_blocking(|| ask_tcp(None, address)).await.unwrap();
            let name = answer.as_deref().ok().and_then(|text| text.split(' ').next());
            if name == expected {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered).await.expect("the change arrives");
}

async fn follows_the_api_server(config: ServicesConfig, address: &'static str, endpoints: [String; 2]) {
    let [a, b] = &endpoints;
    serve_tcp(None, &format!("{a}:8080"), "a");
    serve_tcp(None, &format!("{b}:8080"), "b");
    let cluster_ip = address.split(':').next().unwrap();
    let (client, [services, slices]) = Api::client(&[service(cluster_ip)], &[slice(std::slice::from_ref(a))]);
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let names = Feed::new(crate::dns::tests::dns("/dev/null".as_ref(), 53));
    let running =
        tasks.spawn(run(client, config, (names, SyncTimes::default(), Leads::default()), shutdown.clone()));
    answers(address, Some("a")).await;
    slices.send(json!({"type": "MODIFIED", "object": slice(std::slice::from_ref(b))})).unwrap();
    answers(address, Some("b")).await;
    slices.send(json!({"type": "DELETED", "object": slice(&[])})).unwrap();
    answers(address, None).await;
    slices.send(json!({"type": "ADDED", "object": slice(std::slice::from_ref(a))})).unwrap();
    answers(address, Some("a")).await;
    services.send(json!({"type": "DELETED", "object": service(cluster_ip)})).unwrap();
    answers(address, None).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[test]
fn the_kernel_follows_the_api_server() {
    isolated(|| async {
        let node = Node::start().await;
        let pod = async |uid: &str| node.network.attach(uid, false).await.unwrap().ip.to_string();
        let endpoints = [pod("a").await, pod("b").await];
        follows_the_api_server(config(), "10.96.0.10:80", endpoints).await;
    });
}

#[tokio::test]
async fn the_proxy_follows_the_api_server() {
    let config = ServicesConfig {
        mode: NetworkMode::Loopback,
        node_port_address: Ipv4Addr::LOCALHOST.into(),
        ..config()
    };
    let endpoints = ["127.244.220.1".to_owned(), "127.244.220.2".to_owned()];
    follows_the_api_server(config, "127.96.220.1:80", endpoints).await;
}

/// A server that, told to end, first answers whoever has connected.
struct Graceful {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Graceful {
    fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let ending = Arc::new(AtomicBool::new(false));
        let told = ending.clone();
        let pause = Duration::from_micros(200);
        let thread = std::thread::spawn(move || {
            // After the last connection arrived nothing may come for this many pauses.
            let mut quiet = 0;
            while quiet < 100 {
                if let Ok((mut stream, _)) = listener.accept() {
                    quiet = 0;
                    let _ = stream.write_all(b"ok");
                } else {
                    quiet += u32::from(told.load(Ordering::Relaxed));
                    std::thread::park_timeout(pause);
                }
            }
        });
        Self { ending, thread }
    }

    fn end(self) -> JoinHandle<()> {
        self.ending.store(true, Ordering::Relaxed);
        self.thread
    }
}

/// A client that connects again and again; tells how many connections were answered, and what went wrong.
fn hammer(stop: Arc<AtomicBool>, answered: Arc<AtomicU32>) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut failures = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let ask = || -> std::io::Result<String> {
                let address = SocketAddr::from(([10, 96, 0, 10], 80));
                let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                Ok(answer)
            };
            match ask() {
                Ok(answer) if answer == "ok" => drop(answered.fetch_add(1, Ordering::Relaxed)),
                other => failures.push(format!("{other:?}")),
            }
        }
        failures
    })
}

#[test]
fn no_connection_fails_while_every_endpoint_is_replaced() {
    isolated(|| async {
        let mut node = Node::start().await;
        let address = |at: u8| backend(&format!("10.244.3.{}", 129 + at % 100));
        let mut serving: Vec<(u8, Graceful)> = (0..3).map(|at| (at, Graceful::start(address(at)))).collect();
        let backends =
            |serving: &[(u8, Graceful)]| serving.iter().map(|(at, _)| address(*at)).collect::<Vec<_>>();
        node.apply(vec![web(&backends(&serving))]).await;
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let clients = [hammer(stop.clone(), answered.clone()), hammer(stop.clone(), answered.clone())];
        let mut ended = Vec::new();
        for at in 3..30 {
            // At least one connection between any two changes.
            let before = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) == before && !clients.iter().any(JoinHandle::is_finished) {
                std::thread::yield_now();
            }
            serving.push((at, Graceful::start(address(at))));
            node.dataplane.apply([(key("web"), vec![web(&backends(&serving))])].into()).await;
            let (_, old) = serving.remove(0);
            node.dataplane.apply([(key("web"), vec![web(&backends(&serving))])].into()).await;
            ended.push(old.end());
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            assert_eq!(client.join().unwrap(), Vec::<String>::new());
        }
        assert!(answered.load(Ordering::Relaxed) >= 27);
        ended.extend(serving.into_iter().map(|(_, server)| server.end()));
        for server in ended {
            server.join().unwrap();
        }
    });
}
