//! Servers: `wasi:http/proxy` components on the pod's address.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Exited, Node, PATIENCE, address, client, get, log, pod_ip, try_get};
use bytes::Bytes;
use futures::future::join_all;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, ContainerState, ExitReason, Mount, Runtime as _, RuntimeError};

async fn serving(node: &Node) -> ContainerSpec {
    let spec = node.container("server", "http");
    node.start(&spec).await.unwrap();
    spec
}

/// Runs beside the test.
fn task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinSet<T> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    tasks
}

async fn finished<T: 'static>(mut task: JoinSet<T>) -> T {
    let joined = tokio::time::timeout(PATIENCE, task.join_next()).await.expect("finished in time");
    joined.expect("one task").expect("no panic")
}

#[tokio::test]
async fn the_hello_example_answers_with_path_and_pod() {
    let node = Node::new();
    let mut spec = node.container("hello", "hello-wasm");
    spec.env = vec![("POD_NAME".into(), "hello-1".into())];
    node.start(&spec).await.unwrap();
    let answer = get(address(&spec), "/some/path?query=1").await;
    assert_eq!(answer, (200, "Hello from wasm\npath: /some/path?query=1\npod: hello-1\n".into()));
}

#[tokio::test]
async fn every_request_gets_a_fresh_instance() {
    let node = Node::new();
    let spec = serving(&node).await;
    for _ in 0..3 {
        assert_eq!(get(address(&spec), "/count").await, (200, "1".into()));
    }
}

#[tokio::test]
async fn a_trap_fails_its_request_alone() {
    let node = Node::new();
    let spec = serving(&node).await;
    let (status, text) = get(address(&spec), "/trap").await;
    assert_eq!((status, text.as_str()), (500, "the component failed; its log says why\n"));
    let (status, _) = get(address(&spec), "/silent").await;
    assert_eq!(status, 500);
    let error = try_get(address(&spec), "/half").await.unwrap_err();
    assert!(!error.is_empty(), "a response cut short must not look complete");
    assert_eq!(get(address(&spec), "/").await, (200, "hello".into()));
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    let text = log(&spec, Stream::Stderr).join("\n");
    assert_eq!(text.matches("a request failed").count(), 2, "{text}");
    assert!(text.contains("`unreachable` instruction executed"), "{text}");
    assert_eq!(text.matches("the component ended without a response").count(), 1, "{text}");
}

#[tokio::test]
async fn bodies_stream_in_both_directions() {
    let node = Node::new();
    let spec = serving(&node).await;
    let sent: Vec<u8> = (0..3 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let request = Request::post(format!("http://{}/echo", address(&spec)));
    let response = client().request(request.body(Full::from(sent.clone())).unwrap()).await.unwrap();
    assert!(response.into_body().collect().await.unwrap().to_bytes() == sent, "the echo differs");
    let (_, text) = get(address(&spec), "/stream/100").await;
    assert_eq!(text.lines().count(), 100);
}

#[tokio::test]
async fn http2_without_tls_is_served_too() {
    let node = Node::new();
    let spec = serving(&node).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let uri: http::Uri = format!("http://{}/", address(&spec)).parse().unwrap();
    let answers = join_all((0..20).map(|_| client.get(uri.clone()))).await;
    for response in answers {
        let response = response.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
}

#[tokio::test]
async fn a_request_without_a_host_is_served() {
    let node = Node::new();
    let spec = serving(&node).await;
    let mut connection = TcpStream::connect(address(&spec)).await.unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("hello"), "{answer}");
}

/// What comes to a request as it is written here, up to these words.
async fn answer(spec: &ContainerSpec, request: &str, end: &str) -> String {
    let mut connection = TcpStream::connect(address(spec)).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(end) {
        let count = connection.read_buf(&mut answer).await.unwrap();
        assert_ne!(count, 0, "the connection ended: {}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn who_wants_a_websocket_is_told_that_there_are_none() {
    let node = Node::new();
    let spec = serving(&node).await;
    let upgrade = |protocol: &str| {
        let asked = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: eA==\r\n");
        format!("GET /count HTTP/1.1\r\nHost: h\r\n{asked}\r\n")
    };
    for protocol in ["websocket", "h2c, WebSocket"] {
        let refused = answer(&spec, &upgrade(protocol), "responses only\n").await;
        assert!(refused.starts_with("HTTP/1.1 501 Not Implemented\r\n"), "{refused}");
        assert!(refused.contains("\r\n\r\nWebSockets and tunnels are not served: "), "{refused}");
    }
    let served = answer(&spec, &upgrade("h2c"), "\r\n\r\n").await;
    assert!(served.starts_with("HTTP/1.1 200 OK\r\n"), "who offers another version is served: {served}");
    let tunnel = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";
    let refused = answer(&spec, tunnel, "responses only\n").await;
    assert!(refused.starts_with("HTTP/1.1 501 "), "{refused}");
    assert_eq!(get(address(&spec), "/count").await, (200, "1".into()));
}

#[tokio::test]
async fn the_port_is_the_first_declared_one() {
    let node = Node::new();
    let mut spec = node.container("server", "http");
    spec.ports = vec![8123, 8080];
    node.start(&spec).await.unwrap();
    assert_eq!(address(&spec).port(), 8123);
    assert_eq!(get(address(&spec), "/").await.0, 200);
}

#[tokio::test]
async fn environment_mounts_and_output_reach_every_instance() {
    let node = Node::new();
    std::fs::write(node.dir.path().join("page"), "from a volume").unwrap();
    let mut spec = node.container("server", "http");
    spec.env = vec![("COLOUR".into(), "green".into())];
    spec.mounts = vec![Mount::new(node.dir.path(), "/srv", true)];
    node.start(&spec).await.unwrap();
    assert_eq!(get(address(&spec), "/env/COLOUR").await.1, "green");
    assert_eq!(get(address(&spec), "/file/srv/page").await.1, "from a volume");
    let server = address(&spec);
    join_all((0..20).map(|n| async move { get(server, &format!("/log/line-{n}")).await })).await;
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let mut lines = log(&spec, stream);
        lines.sort();
        let mut expected: Vec<_> = (0..20).map(|n| format!("line-{n}")).collect();
        expected.sort();
        assert_eq!(lines, expected);
    }
}

#[tokio::test]
async fn more_memory_counts_while_a_server_runs() {
    let node = Node::new();
    let mut spec = node.container("server", "http");
    spec.resources.memory_limit_bytes = Some(32 << 20);
    node.start(&spec).await.unwrap();
    assert_eq!(get(address(&spec), "/alloc/8").await.0, 200);
    let served = join_all((0..200).map(|_| get(address(&spec), "/"))).await;
    assert!(served.iter().all(|(status, _)| *status == 200), "what began fits: {served:?}");
    spec.resources.memory_limit_bytes = Some(128 << 20);
    node.runtime.update(&spec.id, &spec.resources).await.unwrap();
    assert_eq!(get(address(&spec), "/alloc/64").await.0, 200);
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    assert!(node.runtime.update(&spec.id, &spec.resources).await.is_err());
}

#[tokio::test]
async fn a_memory_limit_that_cannot_be_kept_is_a_start_error() {
    let node = Node::new();
    let mut spec = node.container("server", "http");
    spec.resources.memory_limit_bytes = Some(1 << 16);
    let error = node.start(&spec).await.unwrap_err();
    assert!(matches!(error, RuntimeError::InvalidSpec { .. }), "{error}");
    let Exited { code, reason, message } = node.exited(&spec.id).await;
    assert_eq!((code, reason), (128, ExitReason::StartError));
    assert!(message.contains("memory limit of 65536 bytes is below"), "{message}");
}

#[tokio::test]
async fn more_requests_than_may_run_wait_and_those_that_wait_too_long_are_refused() {
    let node = Node::with(|config| {
        config.limits.concurrency = 2;
        config.limits.queue_timeout = Duration::from_millis(200);
    });
    let spec = serving(&node).await;
    let short = join_all((0..6).map(|_| get(address(&spec), "/sleep/1"))).await;
    assert!(short.iter().all(|(status, _)| *status == 200), "{short:?}");
    let long = join_all((0..3).map(|_| get(address(&spec), "/sleep/1000"))).await;
    let mut statuses: Vec<_> = long.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503]);
}

#[tokio::test]
async fn a_component_that_does_not_answer_in_time_is_given_up() {
    let node = Node::with(|config| {
        config.limits.concurrency = 1;
        config.limits.response_timeout = Duration::from_millis(100);
        config.limits.linger = Duration::from_millis(50);
    });
    let spec = serving(&node).await;
    assert_eq!(get(address(&spec), "/spin").await.0, 504);
    // The one place is free again: the loop was interrupted.
    assert_eq!(get(address(&spec), "/").await.0, 200);
}

#[tokio::test]
async fn a_pod_says_how_long_its_requests_may_take() {
    let node = Node::new();
    let mut spec = node.container("server", "http");
    spec.annotations.insert("run.wherry.dev/request-timeout".into(), "soon".into());
    let error = node.start(&spec).await.unwrap_err();
    assert!(matches!(error, RuntimeError::InvalidSpec { .. }), "{error}");
    assert!(error.to_string().contains("the value \"soon\", which is not a duration"), "{error}");
    spec.annotations.insert("run.wherry.dev/request-timeout".into(), "200ms".into());
    node.start(&spec).await.unwrap();
    assert_eq!(get(address(&spec), "/sleep/1").await, (200, "slept".into()));
    assert_eq!(get(address(&spec), "/sleep/60000").await.0, 504);
    let cut = try_get(address(&spec), "/stream/1000000000").await.unwrap_err();
    assert!(cut.starts_with("body: "), "a response cut short must not look complete: {cut}");
}

#[tokio::test]
async fn an_instance_does_not_outlive_its_client_for_long() {
    let node = Node::with(|config| {
        config.limits.concurrency = 1;
        config.limits.linger = Duration::from_millis(10);
    });
    let spec = serving(&node).await;
    let mut connection = TcpStream::connect(address(&spec)).await.unwrap();
    connection.write_all(b"GET /spin HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while node.runtime.statistics().free_instances == 1000 {
        tokio::task::yield_now().await;
    }
    drop(connection);
    assert_eq!(get(address(&spec), "/").await.0, 200);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight() {
    let node = Node::new();
    let spec = serving(&node).await;
    let server = address(&spec);
    let slow = task(async move { get(server, "/sleep/1000").await });
    while node.runtime.statistics().free_instances == 1000 {
        tokio::task::yield_now().await;
    }
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    assert_eq!(finished(slow).await, (200, "slept".into()));
    assert_eq!(node.exited(&spec.id).await.code, 0);
    assert!(TcpStream::connect(server).await.is_err(), "it listens after its end");
}

/// Endpoints learn of a stop later than the server: whoever still connects meanwhile must be served.
#[tokio::test]
async fn no_request_is_lost_while_the_cluster_learns_of_a_stop() {
    let node = Arc::new(Node::new());
    let spec = serving(&node).await;
    let server = address(&spec);
    let mut stopping = {
        let (node, id) = (Arc::clone(&node), spec.id.clone());
        task(async move { node.runtime.stop(&id, PATIENCE).await })
    };
    for _ in 0..50 {
        // A connection of its own and one that is kept: both are answered, and told to close.
        let uri: http::Uri = format!("http://{server}/").parse().unwrap();
        let response = client().get(uri).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert!(stopping.try_join_next().is_none(), "it stopped while requests came");
    }
    let response = client().get(format!("http://{server}/").parse().unwrap()).await.unwrap();
    assert_eq!(response.headers()["connection"], "close");
    drop(response);
    finished(stopping).await.unwrap();
    assert_eq!(node.exited(&spec.id).await.code, 0);
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_period_is_killed() {
    let node = Node::new();
    let spec = serving(&node).await;
    let server = address(&spec);
    let endless = task(async move { try_get(server, "/spin").await });
    while node.runtime.statistics().free_instances == 1000 {
        tokio::task::yield_now().await;
    }
    node.runtime.stop(&spec.id, Duration::from_millis(100)).await.unwrap();
    let Exited { code, reason, .. } = node.exited(&spec.id).await;
    assert_eq!((code, reason), (137, ExitReason::Error));
    assert!(finished(endless).await.is_err());
    assert_eq!(node.runtime.statistics().free_instances, 1000);
}

#[tokio::test]
async fn a_taken_port_is_a_start_error_that_names_it() {
    let node = Node::new();
    let taken = TcpListener::bind((pod_ip(0), 8080)).await.unwrap();
    let spec = node.container("server", "http");
    let error = node.start(&spec).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("bind {} failed: Address", taken.local_addr().unwrap())), "{error}");
    let Exited { reason, message, .. } = node.exited(&spec.id).await;
    assert_eq!((reason, message), (ExitReason::StartError, error));
    assert!(node.runtime.start(&spec.id).await.is_err(), "the attempt stays failed");
}

#[tokio::test]
async fn a_restart_can_take_the_port_at_once() {
    let node = Node::new();
    let mut spec = serving(&node).await;
    for attempt in 1..4 {
        assert_eq!(get(address(&spec), "/").await.0, 200);
        node.runtime.stop(&spec.id, Duration::ZERO).await.unwrap();
        spec.id.attempt = attempt;
        node.start(&spec).await.unwrap();
    }
    assert!(matches!(node.state(&spec.id).await, Some(ContainerState::Running { .. })));
}

#[tokio::test]
async fn requests_of_a_guest_come_from_its_pod_over_a_kept_connection() {
    let node = Node::new();
    let front = serving(&node).await;
    let listener = TcpListener::bind((pod_ip(1), 0)).await.unwrap();
    let backend = listener.local_addr().unwrap();
    let served = task(async move {
        let (mut connection, peer) = listener.accept().await.unwrap();
        for _ in 0..3 {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(connection.read_u8().await.unwrap());
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes").await.unwrap();
        }
        peer.ip()
    });
    for _ in 0..3 {
        assert_eq!(get(address(&front), &format!("/get/{backend}/x")).await, (200, "yes".into()));
    }
    assert_eq!(finished(served).await, front.sandbox.ip);
}

#[tokio::test]
async fn one_pod_calls_another_and_itself() {
    let node = Node::new();
    let front = serving(&node).await;
    let mut back = node.container("back", "hello-wasm");
    back.sandbox.ip = pod_ip(1);
    node.start(&back).await.unwrap();
    let (status, text) = get(address(&front), &format!("/get/{}/there", address(&back))).await;
    assert_eq!((status, text.lines().nth(1)), (200, Some("path: /there")));
    let port = address(&front).port();
    assert_eq!(get(address(&front), &format!("/get/localhost:{port}/")).await, (200, "hello".into()));
}

#[tokio::test]
async fn the_side_by_side_front_end_joins_both_greetings() {
    let node = Node::new();
    let mut back = node.container("back", "hello-wasm");
    back.sandbox.ip = pod_ip(1);
    back.env = vec![("POD_NAME".into(), "back-1".into())];
    let mut front = node.container("front", "side-by-side-frontend");
    front.env = vec![
        ("POD_NAME".into(), "front-1".into()),
        ("BACKEND_SERVICE_HOST".into(), back.sandbox.ip.to_string()),
        ("BACKEND_SERVICE_PORT".into(), "8080".into()),
    ];
    node.start(&front).await.unwrap();
    let (status, text) = get(address(&front), "/").await;
    assert_eq!(status, 502);
    let refused = format!("backend: GET http://{}/ failed: ErrorCode::ConnectionRefused\n", address(&back));
    assert_eq!(text, format!("frontend: pod front-1\n{refused}"));
    assert_eq!(get(address(&front), "/healthz").await, (200, "ok\n".into()));
    node.start(&back).await.unwrap();
    let (status, text) = get(address(&front), "/").await;
    let expected = "frontend: hello from wasm, pod front-1\nbackend: Hello from wasm\npath: /\npod: back-1\n";
    assert_eq!((status, text.as_str()), (200, expected));
}

#[tokio::test]
async fn a_failed_outgoing_request_tells_the_guest_why() {
    let node = Node::new();
    let front = serving(&node).await;
    let asked = async |target: &str| get(address(&front), &format!("/get/{target}/")).await.1;
    assert_eq!(asked(&format!("{}:9", pod_ip(2))).await, "ErrorCode::ConnectionRefused");
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = asked(&local.local_addr().unwrap().to_string()).await;
    assert_eq!(answer, "ErrorCode::ConnectionRefused", "the node's own services are out of reach");
}

/// Asks, and waits until so many instances wait for the next request.
async fn asked(node: &Node, spec: &ContainerSpec, path: &str, kept: usize) -> (u16, String) {
    let answer = get(address(spec), path).await;
    while node.runtime.statistics().kept_instances != kept {
        tokio::task::yield_now().await;
    }
    answer
}

/// Nobody waits for long without a request.
async fn none_waits(node: &Node) {
    while node.runtime.statistics().kept_instances > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.runtime.statistics().free_instances, 1000);
}

#[tokio::test]
async fn the_next_request_finds_an_instance_that_answered_nobody() {
    let node = Node::with(|config| config.limits.spare_idle = Duration::from_secs(1));
    let spec = serving(&node).await;
    for _ in 0..3 {
        assert_eq!(asked(&node, &spec, "/count", 1).await, (200, "1".to_owned()));
    }
    assert_eq!(asked(&node, &spec, "/trap", 0).await.0, 500, "it is the one that waited");
    none_waits(&node).await;
}

#[tokio::test]
async fn an_instance_is_used_again_where_the_pod_says_so() {
    let node = Node::with(|config| config.limits.spare_idle = Duration::from_secs(1));
    let mut spec = node.container("server", "http");
    spec.annotations.insert("run.wherry.dev/instance-reuse".into(), "3".into());
    node.start(&spec).await.unwrap();
    for (count, kept) in [("1", 1), ("2", 1), ("3", 1), ("1", 1)] {
        assert_eq!(asked(&node, &spec, "/count", kept).await, (200, count.to_owned()));
    }
    assert_eq!(asked(&node, &spec, "/trap", 0).await.0, 500);
    assert_eq!(asked(&node, &spec, "/count", 1).await.1, "1", "one that failed is not used again");
    none_waits(&node).await;
    asked(&node, &spec, "/", 1).await;
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    assert_eq!(node.exited(&spec.id).await.code, 0);
    node.runtime.remove(&spec.id).await.unwrap();
    let left = node.runtime.statistics();
    assert_eq!((left.kept_instances, left.free_instances), (0, 1000));
}
