//! Offenders: what one container does without end does not keep another from answering, and its status says what it did.

use std::time::Duration;

use crate::support::{Exited, Node, address, get, log, pod_ip, strings, try_get};
use futures::future::join_all;
use tokio::time::Instant;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, ContainerState, ExitReason, Mount, Runtime as _};

/// An answer takes a millisecond; a slice of each processor may come before it, and other tests run beside this one.
const SOON: Duration = Duration::from_millis(500);

struct Victim {
    spec: ContainerSpec,
}

impl Victim {
    async fn start(node: &Node) -> Self {
        let mut spec = node.container("victim", "hello-wasm");
        spec.sandbox.ip = pod_ip(1);
        node.start(&spec).await.unwrap();
        let victim = Self { spec };
        victim.answers().await;
        victim
    }

    async fn answers(&self) {
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(get(address(&self.spec), "/").await.0, 200);
            assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        }
    }
}

fn offender(node: &Node, args: &[&str]) -> ContainerSpec {
    let mut spec = node.container("offender", "cli-p2");
    spec.args = Some(strings(args));
    spec
}

async fn runs(node: &Node, spec: &ContainerSpec) -> bool {
    matches!(node.state(&spec.id).await, Some(ContainerState::Running { .. }))
}

#[tokio::test]
async fn requests_that_spin() {
    let node = Node::new();
    let victim = Victim::start(&node).await;
    let mut spec = node.container("offender", "http");
    spec.annotations.insert("run.wherry.dev/request-timeout".into(), "2s".into());
    node.start(&spec).await.unwrap();
    let spins = join_all((0..50).map(|_| get(address(&spec), "/spin")));
    let beside = async {
        while node.runtime.usage(&spec.id).await.unwrap().cpu_nanos < 100_000_000 {
            tokio::task::yield_now().await;
        }
        victim.answers().await;
    };
    let (answers, ()) = tokio::join!(spins, beside);
    assert!(answers.iter().all(|(status, _)| *status == 504), "{answers:?}");
    node.runtime.stop(&spec.id, SOON).await.unwrap();
    let text = log(&spec, Stream::Stderr).join("\n");
    assert!(text.contains("a request failed: interrupted: it took longer than 2s"), "{text}");
}

#[tokio::test]
async fn allocating_without_end() {
    let node = Node::new();
    let victim = Victim::start(&node).await;
    let mut spec = node.container("offender", "http");
    spec.resources.memory_limit_bytes = Some(32 << 20);
    node.start(&spec).await.unwrap();
    assert!(try_get(address(&spec), "/alloc/1000").await.is_err());
    let Exited { code, reason, message } = node.exited(&spec.id).await;
    assert_eq!((code, reason), (137, ExitReason::OOMKilled));
    assert!(message.starts_with("the memory limit of 33554432 bytes was exceeded"), "{message}");
    victim.answers().await;
}

#[tokio::test]
async fn opening_sockets_without_end() {
    let node = Node::with(|config| config.limits.sockets = 100);
    let victim = Victim::start(&node).await;
    let spec = offender(&node, &["sockets"]);
    let Exited { code, message, .. } = node.run(&spec).await;
    assert_eq!((code, message.as_str()), (1, "the limit of 100 open sockets was reached"));
    assert_eq!(log(&spec, Stream::Stdout), ["100 opened"]);
    victim.answers().await;
}

#[tokio::test]
async fn sending_requests_without_waiting_for_their_answers() {
    let node = Node::with(|config| config.limits.sockets = 2);
    let spec = node.container("offender", "http");
    node.start(&spec).await.unwrap();
    let mut slow = node.container("slow", "http");
    slow.sandbox.ip = pod_ip(1);
    node.start(&slow).await.unwrap();
    let path = format!("/get/{}/sleep/300", address(&slow));
    let answers = join_all((0..3).map(|_| get(address(&spec), &path))).await;
    let mut texts: Vec<_> = answers.iter().map(|(_, text)| text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["ErrorCode::ConnectionLimitReached", "slept", "slept"]);
}

#[tokio::test]
async fn opening_files_without_end() {
    let node = Node::with(|config| config.limits.handles = 100);
    let victim = Victim::start(&node).await;
    let file = node.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for guest in ["cli-p1", "cli-p2"] {
        let mut spec = node.container(guest, guest);
        spec.args = Some(strings(&["files", "/data/file"]));
        spec.mounts = vec![Mount::new(node.dir.path(), "/data", true)];
        let Exited { code, message, .. } = node.run(&spec).await;
        assert_eq!(code, 134, "{message}");
        assert!(message.starts_with("too much is open at one time (files"), "{message}");
    }
    victim.answers().await;
}

#[tokio::test]
async fn logging_without_end() {
    let node = Node::new();
    let victim = Victim::start(&node).await;
    let mut spec = offender(&node, &["flood"]);
    spec.resources.cpu_limit_millis = Some(50);
    node.start(&spec).await.unwrap();
    victim.answers().await;
    assert!(runs(&node, &spec).await);
    node.runtime.remove(&spec.id).await.unwrap();
}

#[tokio::test]
async fn trapping_in_a_loop() {
    let node = Node::new();
    let victim = Victim::start(&node).await;
    let mut spec = offender(&node, &["panic"]);
    for attempt in 0..20 {
        spec.id.attempt = attempt;
        let Exited { code, message, .. } = node.run(&spec).await;
        assert_eq!(code, 134);
        let lines: Vec<_> = message.lines().collect();
        assert_eq!(lines[0], "wasm trap: wasm `unreachable` instruction executed");
        assert!(lines.iter().any(|line| line.contains("panic")), "functions have names: {message}");
        node.runtime.remove(&spec.id).await.unwrap();
    }
    victim.answers().await;
}
