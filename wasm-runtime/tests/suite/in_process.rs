//! Requests of guests to guests of the same process: handed over, as if they had come by the network.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, Runtime as _};
use wherry_wasm_runtime::{Config, Path, Paths};

use crate::support::{Exited, Node, PATIENCE, address, get, log, pod_ip};

/// An address that is nobody's but leads to endpoints, as a Service's does.
const SERVICE: &str = "192.0.2.1:80";
const BY_NETWORK: [&str; 2] = ["run.wherry.dev/in-process", "false"];

/// What leads where.
#[derive(Default)]
struct Known {
    endpoints: parking_lot::Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
    judged: AtomicBool,
    handed: AtomicUsize,
    rules: AtomicU64,
}

impl Paths for Known {
    fn lead(&self, _: IpAddr, to: SocketAddr) -> Option<Path> {
        let endpoints = self.endpoints.lock();
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let is_service = to == SERVICE.parse().unwrap() && !endpoints.is_empty();
        let endpoint = if is_service { endpoints[turn % endpoints.len()] } else { to };
        Some(Path { endpoint, judged: self.judged.load(Ordering::SeqCst) })
    }

    fn rules(&self) -> u64 {
        self.rules.load(Ordering::SeqCst)
    }

    fn handed_over(&self) {
        self.handed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server and a client, whose requests lead as `paths` say.
struct Pair {
    node: Node,
    paths: Arc<Known>,
    server: ContainerSpec,
    client: ContainerSpec,
}

impl Pair {
    async fn start() -> Self {
        Self::with(|_| {}, &[]).await
    }

    async fn with(change: impl FnOnce(&mut Config), annotations: &[(&str, &str)]) -> Self {
        let paths = Arc::new(Known::default());
        let node = Node::with(|config| {
            config.paths = paths.clone();
            change(config);
        });
        let mut server = node.container("server", "http");
        server.sandbox.ip = pod_ip(1);
        paths.endpoints.lock().push(address(&server));
        let mut client = node.container("client", "http");
        client.annotations =
            annotations.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        for spec in [&server, &client] {
            node.start(spec).await.unwrap();
        }
        Self { node, paths, server, client }
    }

    /// What the client answers to a path that has it ask the server, by that address.
    async fn asked(&self, verb: &str, at: &str, path: &str) -> (u16, String) {
        get(address(&self.client), &format!("/{verb}/{at}/{path}")).await
    }

    fn handed(&self) -> usize {
        self.paths.handed.load(Ordering::SeqCst)
    }

    fn pod(&self) -> String {
        address(&self.server).to_string()
    }
}

#[tokio::test]
async fn what_arrives_is_the_same_as_over_a_connection() {
    let pair = Pair::start().await;
    let mut by_network = pair.node.container("by-network", "http");
    by_network.sandbox.ip = pod_ip(2);
    by_network.annotations = BTreeMap::from([BY_NETWORK.map(str::to_owned).into()]);
    pair.node.start(&by_network).await.unwrap();
    let cases = [
        ("show/GET", "request?a=b"),
        ("show/POST", "request"),
        ("show/HEAD", ""),
        ("show/GET", ""),
        ("show/GET", "stream/5"),
        ("show/GET", "trap"),
        ("show/GET", "silent"),
        ("show/GET", "nowhere"),
        ("show/POST", "echo"),
        ("show/GET", "half"),
    ];
    for (verb, path) in cases {
        // The same words whoever asks.
        let mut shown = Vec::new();
        for client in [&pair.client, &by_network] {
            let (status, text) = get(address(client), &format!("/{verb}/{}/{path}", pair.pod())).await;
            let lines = text.lines().map(|line| if line.starts_with("date: ") { "date" } else { line });
            shown.push((status, lines.map(str::to_owned).collect::<Vec<_>>()));
        }
        let [handed, connected] = shown.try_into().unwrap();
        if path == "half" {
            assert_eq!((handed.0, connected.0), (502, 502), "cut short either way: {handed:?} {connected:?}");
        } else {
            assert_eq!(handed, connected, "{verb} {path}");
        }
    }
    assert_eq!(pair.handed(), cases.len());
}

#[tokio::test]
async fn trailers_arrive() {
    let pair = Pair::start().await;
    let (_, text) = pair.asked("show/GET", SERVICE, "trailers").await;
    assert!(text.ends_with("body \"summed\"\ntrailers x-sum: 42\n"), "{text}");
    assert_eq!(pair.handed(), 1);
}

#[tokio::test]
async fn what_is_judged_goes_by_the_network() {
    let pair = Pair::start().await;
    pair.paths.judged.store(true, Ordering::SeqCst);
    assert_eq!(pair.asked("get", &pair.pod(), "").await, (200, "hello".to_owned()));
    // Nobody but who knows the paths leads a Service to its endpoint.
    assert_eq!(pair.asked("get", SERVICE, "env/HOSTNAME").await, (200, "host-server".to_owned()));
    assert_eq!(pair.handed(), 0);
    // Its own is always the Pod's to reach.
    let own = address(&pair.client).to_string();
    assert_eq!(pair.asked("get", &own, "").await, (200, "hello".to_owned()));
    assert_eq!(pair.handed(), 1);
}

#[tokio::test]
async fn endpoints_out_of_the_process_get_their_share() {
    let pair = Pair::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    pair.paths.endpoints.lock().push(listener.local_addr().unwrap());
    let elsewhere = async {
        let mut heads = Vec::new();
        while heads.len() < 3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..length]).into_owned());
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nthere";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    };
    let asking = async {
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(pair.asked("get", "192.0.2.1:80", "").await.1);
        }
        answers
    };
    let both = async { tokio::join!(elsewhere, asking) };
    let (heads, mut answers) = timeout(PATIENCE, both).await.unwrap();
    answers.sort();
    assert_eq!(answers, ["hello", "hello", "hello", "there", "there", "there"]);
    assert!(heads.iter().all(|head| head.contains("host: 192.0.2.1:80\r\n")), "{heads:?}");
    assert_eq!(pair.handed(), 3);
}

#[tokio::test]
async fn a_server_that_is_gone_refuses() {
    let pair = Pair::start().await;
    assert_eq!(pair.asked("get", SERVICE, "").await.0, 200);
    pair.node.runtime.stop(&pair.server.id, PATIENCE).await.unwrap();
    let (status, text) = pair.asked("get", SERVICE, "").await;
    assert_eq!((status, text.contains("ConnectionRefused")), (502, true), "{text}");
    assert_eq!(pair.handed(), 1);
}

#[tokio::test]
async fn a_request_in_flight_is_finished_by_a_stop() {
    let pair = Pair::start().await;
    let slow = pair.asked("get", SERVICE, "sleep/700");
    let stopped = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        pair.node.runtime.stop(&pair.server.id, PATIENCE).await.unwrap();
    };
    let (answer, ()) = tokio::join!(slow, stopped);
    assert_eq!(answer, (200, "slept".to_owned()));
    assert_eq!(pair.node.exited(&pair.server.id).await.code, 0);
}

#[tokio::test]
async fn a_request_in_flight_is_cut_by_a_kill() {
    let pair = Pair::start().await;
    let began = Instant::now();
    let slow = pair.asked("get", SERVICE, "sleep/20000");
    let killed = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        pair.node.runtime.stop(&pair.server.id, Duration::ZERO).await.unwrap();
    };
    let (answer, ()) = tokio::join!(slow, killed);
    assert_eq!((answer.0, answer.1.contains("ConnectionTerminated")), (502, true), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let Exited { code, .. } = pair.node.exited(&pair.server.id).await;
    assert_eq!((code, pair.handed()), (137, 1));
}

#[tokio::test]
async fn bodies_stream_both_ways_and_wait_for_who_reads() {
    let pair = Pair::start().await;
    let (status, text) = pair.asked("duplex/200", SERVICE, "echo").await;
    assert_eq!((status, text.as_str()), (200, "200 chunks there and back, and 0 bytes more"));
    let (status, taken) = pair.asked("push", SERVICE, "sleep/2000").await;
    let taken: u64 =
        taken.parse().unwrap_or_else(|_| panic!("{status} {taken} {:?}", log(&pair.client, Stream::Stderr)));
    assert!(taken <= 1 << 20, "{taken} bytes were taken from who sends though nobody reads");
    assert_eq!(pair.handed(), 2);
}

/// They run inside of each other where nobody waits, but a thread's stack has room for a few alone.
#[tokio::test]
async fn who_is_asked_asks_in_turn_however_often() {
    let pair = Pair::start().await;
    let (client, server) = (address(&pair.client), address(&pair.server));
    let path = format!("get/{client}/get/{server}/").repeat(6) + "env/HOSTNAME";
    let answer = pair.asked("get", &pair.pod(), &path).await;
    assert_eq!(answer, (200, "host-server".to_owned()));
    assert_eq!(pair.handed(), 13);
}

/// An instance that is used again was given back only when whoever asked had read its answer, so that the next request met another one.
#[tokio::test]
async fn an_instance_that_is_used_again_is_there_for_the_next_request() {
    let pair = Pair::start().await;
    let mut again = pair.node.container("again", "http");
    again.sandbox.ip = pod_ip(2);
    again.annotations = BTreeMap::from([("run.wherry.dev/instance-reuse".to_owned(), "100".to_owned())]);
    pair.node.start(&again).await.unwrap();
    let at = address(&again).to_string();
    for number in 1..=20 {
        assert_eq!(pair.asked("get", &at, "count").await, (200, number.to_string()));
    }
    assert_eq!(pair.handed(), 20);
}

/// Though it runs in the task of whoever asks.
#[tokio::test]
async fn who_is_asked_pays_for_what_it_computes() {
    let pair = Pair::start().await;
    for _ in 0..10 {
        let answer = pair.asked("get", &pair.pod(), "alloc/32").await;
        assert_eq!(answer, (200, format!("{} bytes", 32 << 20)));
    }
    assert_eq!(pair.handed(), 10);
    let nanos = async |spec: &ContainerSpec| pair.node.runtime.usage(&spec.id).await.unwrap().cpu_nanos;
    let (client, server) = (nanos(&pair.client).await, nanos(&pair.server).await);
    assert!(client < server / 2, "{client} of who asks, {server} of who answers");
}

/// Whatever a guest waits for, what it asked before goes on.
#[tokio::test]
async fn requests_of_a_guest_go_on_while_it_waits_for_something_else() {
    let pair = Pair::start().await;
    let (status, text) = pair.asked("push", SERVICE, "echo").await;
    assert_eq!(status, 200, "{text}");
    assert!(text.parse::<u64>().unwrap() > 0, "somebody read what was sent");
}

#[tokio::test]
async fn the_servers_limits_hold() {
    let limit = |config: &mut Config| {
        config.limits.concurrency = 1;
        config.limits.queue_timeout = Duration::from_millis(50);
    };
    let pair = Pair::with(limit, &[]).await;
    // The client is limited alike, so somebody else keeps the server busy.
    let busy = get(address(&pair.server), "/sleep/1000");
    let asked = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        pair.asked("get", SERVICE, "").await
    };
    let (busy, refused) = tokio::join!(busy, asked);
    assert_eq!(busy.0, 200);
    assert_eq!(refused, (503, "too many requests are being served\n".to_owned()));
    assert_eq!(pair.handed(), 1);
}

#[tokio::test]
async fn a_request_counts_as_a_connection() {
    let pair = Pair::with(|config| config.limits.sockets = 0, &[]).await;
    let (status, text) = pair.asked("get", SERVICE, "").await;
    assert_eq!((status, text.contains("ConnectionLimitReached")), (502, true), "{text}");
}

#[tokio::test]
async fn what_is_out_of_reach_is_refused_by_the_address_that_was_asked_for() {
    let egress = "run.wherry.dev/egress";
    let pair = Pair::with(|_| {}, &[(egress, "192.0.2.1")]).await;
    assert_eq!(pair.asked("get", SERVICE, "").await.0, 200);
    let (status, text) = pair.asked("get", &pair.pod(), "").await;
    assert_eq!((status, text.contains("DestinationIpProhibited")), (502, true), "{text}");
    assert_eq!(pair.handed(), 1);
}

#[tokio::test]
async fn containers_of_a_pod_ask_each_other_by_localhost() {
    let pair = Pair::start().await;
    let mut beside = pair.node.container("client", "http");
    beside.id.name = "beside".to_owned();
    beside.ports = vec![8081];
    beside.log_path = pair.node.dir.path().join("beside.log");
    beside.env = vec![("WHO".to_owned(), "beside".to_owned())];
    pair.node.start(&beside).await.unwrap();
    assert_eq!(pair.asked("get", "127.0.0.1:8081", "env/WHO").await, (200, "beside".to_owned()));
    assert_eq!(pair.handed(), 1);
}

/// A network policy let nobody through any more, and guests went on over connections that were kept from before.
#[tokio::test]
async fn connections_are_kept_until_the_rules_change() {
    let pair = Pair::start().await;
    let listener = TcpListener::bind((pod_ip(2), 0)).await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = accepted.clone();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            connections.spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    for (rules, connections) in [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)] {
        pair.paths.rules.store(rules, Ordering::SeqCst);
        assert_eq!(pair.asked("get", &at, "").await, (200, "ok".to_owned()));
        assert_eq!(accepted.load(Ordering::SeqCst), connections, "under rules {rules}");
    }
}
