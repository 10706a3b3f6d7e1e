//! Probes against real listeners on loopback.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wherry_runtime_api::{ContainerId, SandboxId};
use wherry_wasm_runtime::Listening;

use super::*;
use crate::commands::Commands;
use crate::testing::{FakeRuntime, runtimes};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A container on this machine, in a runtime that runs what it was told of.
fn place() -> (Place, Arc<FakeRuntime>) {
    let (_, _, runc) = runtimes();
    let sandbox = SandboxId("uid".to_owned());
    let id = ContainerId { sandbox, name: "main".to_owned(), attempt: 0 };
    let commands = Commands::new(runc.clone(), id);
    (Place { ip: LOOPBACK, commands, listening: Listening::default() }, runc)
}

fn container(probe: Value) -> Container {
    serde_json::from_value(json!({
        "name": "main", "ports": [{ "name": "web", "containerPort": 8080 }], "readinessProbe": probe,
    }))
    .unwrap()
}

fn parse(probe: Value) -> Result<Probe, String> {
    let parsed = Probe::parse(&container(probe), ProbeKind::Readiness);
    parsed.map(Option::unwrap).map_err(|error| error.to_string())
}

#[test]
fn probes_are_parsed_with_kubernetes_defaults() {
    let probe = parse(json!({ "httpGet": { "port": "web", "path": "healthz" } })).unwrap();
    assert_eq!((probe.period.as_secs(), probe.timeout.as_secs()), (10, 1));
    assert_eq!((probe.success_threshold, probe.failure_threshold), (1, 3));
    let Check::Http(http) = probe.check else { panic!("expected an HTTP check") };
    assert_eq!((http.port, http.path.as_str(), http.tls), (8080, "/healthz", false));
}

#[test]
fn what_cannot_be_probed_is_named() {
    assert!(parse(json!({})).unwrap_err().ends_with("it has neither exec, httpGet, tcpSocket nor grpc"));
    assert!(
        parse(json!({ "tcpSocket": { "port": "nope" } })).unwrap_err().ends_with("it has no port \"nope\"")
    );
    assert!(parse(json!({ "tcpSocket": { "port": 0 } })).unwrap_err().ends_with("it has no port \"0\""));
}

/// Answers every request with the status; returns the port.
async fn serve(status: u16) -> (u16, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let status = if head.contains("user-agent: kube-probe/") { status } else { 400 };
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    (port, tasks)
}

#[tokio::test]
async fn http_statuses_decide() {
    for (status, expected) in
        [(200, Ok(())), (302, Ok(())), (503, Err("HTTP probe failed with statuscode: 503"))]
    {
        let (port, _server) = serve(status).await;
        let probe = parse(json!({ "httpGet": { "port": port } })).unwrap();
        let outcome = probe.check.run(&place().0, Duration::from_secs(5)).await;
        assert_eq!(outcome, expected.map_err(|text: &str| Miss::Failed(text.to_owned())), "status {status}");
    }
}

#[tokio::test]
async fn a_closed_port_is_refused_in_go_words() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let check = Check::Tcp { host: None, port };
    let error = check.run(&place().0, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error, Miss::Failed(format!("dial tcp 127.0.0.1:{port}: connect: connection refused")));
    let probe = parse(json!({ "httpGet": { "port": port, "path": "/x" } })).unwrap();
    let error = probe.check.run(&place().0, Duration::from_secs(5)).await.unwrap_err();
    let refused =
        format!("Get \"http://127.0.0.1:{port}/x\": dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(error, Miss::Failed(refused));
}

#[tokio::test]
async fn a_container_that_is_soon_ready_is_seen_long_before_its_period() {
    let reserved = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let probe = parse(json!({ "tcpSocket": { "port": address.port() }, "periodSeconds": 3600 })).unwrap();
    let (sender, mut findings) = mpsc::unbounded_channel();
    let target =
        Target { place: place().0, running_for: Duration::ZERO, is_ready: false, tally: Arc::default() };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(watch(probe, target, move |finding| {
        sender.send(finding).ok();
    }));
    assert!(matches!(findings.recv().await.unwrap(), Finding::Unhealthy(_)));
    let _listener = TcpListener::bind(address).await.unwrap();
    assert_eq!(findings.recv().await.unwrap(), Finding::Succeeds);
}

#[tokio::test(start_paused = true)]
async fn the_exit_code_of_a_command_decides() {
    let (place, runtime) = place();
    let check = |words: &str| Check::Exec(words.split(' ').map(str::to_owned).collect());
    let timeout = Duration::from_secs(2);
    runtime.answer("good one", "fine", 0);
    runtime.answer("bad one", "it is broken\n", 3);
    assert_eq!(check("good one").run(&place, timeout).await, Ok(()));
    let broken = Miss::Failed("it is broken\n".to_owned());
    assert_eq!(check("bad one").run(&place, timeout).await, Err(broken));
    let late = Miss::Failed("command \"endless one\" timed out".to_owned());
    assert_eq!(check("endless one").run(&place, timeout).await, Err(late));
    let errored = check("no-such one").run(&place, timeout).await.unwrap_err();
    assert_eq!(errored, Miss::Errored("exec failed: not found".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_run_decides_nothing() {
    let (place, runtime) = place();
    let probe = parse(json!({ "exec": { "command": ["no-such"] }, "failureThreshold": 1 })).unwrap();
    let probe = Probe { kind: ProbeKind::Liveness, ..probe };
    let target = Target { place, running_for: Duration::ZERO, is_ready: true, tally: Arc::default() };
    let (sender, mut findings) = mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(watch(probe, target, move |finding| {
        sender.send(finding).ok();
    }));
    for _ in 0..5 {
        let told = "Liveness probe errored and resulted in unknown state: exec failed: not found".to_owned();
        assert_eq!(findings.recv().await.unwrap(), Finding::Unhealthy(told));
    }
    assert_eq!(runtime.executed()[0], "main: no-such");
}

/// A gRPC server that knows the services `good` and `bad`; returns the port.
async fn serve_grpc() -> (u16, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer_grpc);
            let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            connections.spawn(builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
        }
    });
    (port, tasks)
}

async fn answer_grpc(
    request: http::Request<hyper::body::Incoming>,
) -> Result<
    http::Response<http_body_util::combinators::BoxBody<bytes::Bytes, std::convert::Infallible>>,
    hyper::Error,
> {
    use http_body_util::BodyExt as _;
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let asked = request.into_body().collect().await?.to_bytes();
    let (status, message) = match &asked[5..] {
        b"\x0a\x04good" => ("0", &b"\0\0\0\0\x02\x08\x01"[..]),
        b"\x0a\x03bad" => ("0", &b"\0\0\0\0\x02\x08\x02"[..]),
        b"" => ("12", &b""[..]),
        _ => ("5", &b""[..]),
    };
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", "unknown service".parse().unwrap());
    let body = http_body_util::Full::new(bytes::Bytes::from_static(message));
    Ok(http::Response::new(body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed()))
}

#[tokio::test]
async fn the_health_a_grpc_server_tells_decides() {
    let (port, _server) = serve_grpc().await;
    let unimplemented =
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)";
    for (service, expected) in [
        ("good", Ok(())),
        ("bad", Err("service unhealthy (responded with \"NOT_SERVING\")")),
        ("other", Err("error: health rpc failed: code = 5 desc = unknown service")),
        ("", Err(unimplemented)),
    ] {
        let probe = parse(json!({ "grpc": { "port": port, "service": service } })).unwrap();
        let outcome = probe.check.run(&place().0, Duration::from_secs(5)).await;
        assert_eq!(
            outcome,
            expected.map_err(|text: &str| Miss::Failed(text.to_owned())),
            "service {service:?}"
        );
    }
    let probe = parse(json!({ "grpc": { "port": 1 } })).unwrap();
    let Err(Miss::Failed(refused)) = probe.check.run(&place().0, Duration::from_secs(5)).await else {
        panic!("nobody listens on port 1")
    };
    assert!(refused.contains("dial tcp 127.0.0.1:1: connect: connection refused"), "{refused}");
}

#[tokio::test]
async fn a_grpc_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = parse(json!({ "grpc": { "port": port } })).unwrap();
    let outcome = probe.check.run(&place().0, Duration::from_millis(50)).await;
    assert!(
        matches!(outcome, Err(Miss::Failed(text)) if text.starts_with("timeout: failed to connect service"))
    );
}
