//! Servers of WASI 0.3: `wasi:http/handler` components behave as those of 0.2 do.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, ExitReason, Runtime as _};

use crate::support::{Exited, Node, PATIENCE, address, client, get, log, pod_ip, strings, try_get};

async fn serving(node: &Node) -> ContainerSpec {
    let spec = node.container("server", "http-p3");
    node.start(&spec).await.unwrap();
    spec
}

#[tokio::test]
async fn requests_get_instances_of_their_own_unless_they_are_used_again() {
    let node = Node::new();
    let spec = serving(&node).await;
    assert_eq!(get(address(&spec), "/").await, (200, "hello".into()));
    for _ in 0..3 {
        assert_eq!(get(address(&spec), "/count").await, (200, "1".into()));
    }
    let mut again = node.container("again", "http-p3");
    again.sandbox.ip = pod_ip(1);
    again.annotations.insert("run.wherry.dev/instance-reuse".into(), "2".into());
    node.start(&again).await.unwrap();
    for seen in ["1", "2", "1"] {
        assert_eq!(get(address(&again), "/count").await, (200, seen.into()));
        while seen == "1" && node.runtime.statistics().kept_instances < 2 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn bodies_stream_in_both_directions_and_trailers_come_after_them() {
    let node = Node::new();
    let spec = serving(&node).await;
    let sent: Vec<u8> = (0..3 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    for path in ["echo", "pass"] {
        let request = Request::post(format!("http://{}/{path}", address(&spec)));
        let response = client().request(request.body(Full::from(sent.clone())).unwrap()).await.unwrap();
        assert!(response.into_body().collect().await.unwrap().to_bytes() == sent, "{path} differs");
    }
    assert_eq!(get(address(&spec), "/stream/100").await.1.lines().count(), 100);
    let uri = format!("http://{}/trailers", address(&spec));
    let request = Request::get(&uri).header("te", "trailers").body(Full::<Bytes>::default()).unwrap();
    let body = client().request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "42");
    assert_eq!(body.to_bytes(), "summed");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "yes".parse().unwrap());
    let frames = [Frame::data(Bytes::from_static(b"seven b")), Frame::trailers(trailers)];
    let frames = futures::stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
    let client: Client<_, _> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request =
        Request::post(format!("http://{}/sum", address(&spec))).body(StreamBody::new(frames)).unwrap();
    let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), "7 bytes x-end: yes");
}

#[tokio::test]
async fn a_failure_is_that_of_its_request_alone() {
    let node = Node::new();
    let spec = serving(&node).await;
    for path in ["/trap", "/fail"] {
        assert_eq!(get(address(&spec), path).await, (500, "the component failed; its log says why\n".into()));
    }
    let error = try_get(address(&spec), "/half").await.unwrap_err();
    assert!(!error.is_empty(), "a response cut short must not look complete");
    assert_eq!(get(address(&spec), "/").await, (200, "hello".into()));
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    let text = log(&spec, Stream::Stderr).join("\n");
    assert_eq!(text.matches("`unreachable` instruction executed").count(), 2, "{text}");
    assert!(text.contains("the component answered a request with ErrorCode::LoopDetected"), "{text}");
}

#[tokio::test]
async fn what_a_guest_does_after_its_answer_is_finished() {
    let node = Node::new();
    let spec = serving(&node).await;
    assert_eq!(get(address(&spec), "/after/50").await, (200, "answered".into()));
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    assert_eq!(log(&spec, Stream::Stdout), ["went on"]);
    assert_eq!(node.exited(&spec.id).await.code, 0);
}

#[tokio::test]
async fn time_is_limited_as_for_others() {
    let node = Node::with(|config| {
        config.limits.concurrency = 1;
        config.limits.response_timeout = Duration::from_millis(100);
        config.limits.linger = Duration::from_millis(50);
    });
    let mut spec = serving(&node).await;
    for path in ["/spin", "/sleep/60000"] {
        assert_eq!(get(address(&spec), path).await.0, 504, "{path}");
        assert_eq!(get(address(&spec), "/").await.0, 200, "the one place is free again");
    }
    node.runtime.stop(&spec.id, Duration::ZERO).await.unwrap();
    spec.id.attempt = 1;
    spec.annotations.insert("run.wherry.dev/request-timeout".into(), "80ms".into());
    node.start(&spec).await.unwrap();
    let cut = try_get(address(&spec), "/stream/1000000000").await.unwrap_err();
    assert!(cut.starts_with("body: "), "a response cut short must not look complete: {cut}");
}

#[tokio::test]
async fn memory_and_handles_are_limited_as_for_others() {
    let node = Node::new();
    let mut spec = node.container("server", "http-p3");
    spec.resources.memory_limit_bytes = Some(32 << 20);
    node.start(&spec).await.unwrap();
    assert_eq!(get(address(&spec), "/alloc/8").await, (200, format!("{} bytes", 8 << 20)));
    assert_eq!(get(address(&spec), "/handles").await.0, 500);
    let told = log(&spec, Stream::Stderr).join("\n");
    assert!(told.contains("store handle limit exceeded"), "{told}");
    let _ = try_get(address(&spec), "/alloc/64").await;
    let Exited { code, reason, message } = node.exited(&spec.id).await;
    assert_eq!((code, reason), (137, ExitReason::OOMKilled), "{message}");
}

#[tokio::test]
async fn requests_of_a_guest_go_the_same_ways() {
    let node = Node::new();
    let front = serving(&node).await;
    let mut back = node.container("back", "http-p3");
    back.sandbox.ip = pod_ip(1);
    back.env = vec![("COLOUR".into(), "green".into())];
    node.start(&back).await.unwrap();
    let asked = async |path: &str| get(address(&front), &format!("/get/{}/{path}", address(&back))).await;
    assert_eq!(asked("env/COLOUR").await, (200, "green".into()));
    assert_eq!(asked("none").await.0, 404);
    let request = Request::post(format!("http://{}/post/{}/sum", address(&front), address(&back)));
    let response = client().request(request.body(Full::from("twelve bytes")).unwrap()).await.unwrap();
    let answer = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, "12 bytes x-end: yes", "with its trailer");
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_, refused) = get(address(&front), &format!("/get/{}/", local.local_addr().unwrap())).await;
    assert_eq!(refused, "ErrorCode::ConnectionRefused", "the node's own services are out of reach");
    let (_, refused) = get(address(&front), "/get/169.254.169.254/").await;
    assert_eq!(refused, "ErrorCode::DestinationIpProhibited");
}

#[tokio::test]
async fn what_is_imported_needs_leave() {
    let node = Node::new();
    let mut spec = node.container("server", "http-p3");
    spec.annotations.insert("run.wherry.dev/capabilities".into(), String::new());
    let refused = node.start(&spec).await.unwrap_err().to_string();
    assert!(refused.contains("it imports wasi:http/client@0.3.0"), "{refused}");
    let mut command = node.container("command", "cli-p3");
    command.args = Some(strings(&["print", "x"]));
    command.annotations.insert("run.wherry.dev/capabilities".into(), "http-client".into());
    let refused = node.start(&command).await.unwrap_err().to_string();
    assert!(refused.contains("it imports wasi:sockets/"), "{refused}");
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_killing_cuts_it() {
    let node = Node::new();
    let mut spec = serving(&node).await;
    let busy = async || {
        while node.runtime.statistics().free_instances == 1000 {
            tokio::task::yield_now().await;
        }
    };
    let server = address(&spec);
    let stopped = async {
        busy().await;
        node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    };
    let (answer, ()) = tokio::join!(get(server, "/sleep/500"), stopped);
    assert_eq!(answer, (200, "slept".into()));
    assert_eq!(node.exited(&spec.id).await.code, 0);
    spec.id.attempt = 1;
    node.start(&spec).await.unwrap();
    let killed = async {
        busy().await;
        node.runtime.stop(&spec.id, Duration::from_millis(50)).await.unwrap();
    };
    let (cut, ()) = tokio::join!(try_get(server, "/sleep/60000"), killed);
    assert!(cut.is_err(), "{cut:?}");
    assert_eq!(node.exited(&spec.id).await.code, 137);
    assert_eq!(node.runtime.statistics().free_instances, 1000);
}
