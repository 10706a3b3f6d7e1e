//! The contract of `wherry_runtime_api::Runtime`: idempotence, states, events.

use std::time::Duration;

use crate::support::{Node, PATIENCE, address, get, runtime, strings};
use wherry_runtime_api::{
    ContainerId, ContainerSpec, ContainerState, ExitReason, Runtime, RuntimeError, RuntimeEvent, SandboxId,
};

#[tokio::test]
async fn every_call_can_be_repeated() {
    let node = Node::new();
    let runtime: &dyn Runtime = &node.runtime;
    let spec = node.container("server", "hello-wasm");
    for _ in 0..2 {
        runtime.ready().await.unwrap();
        runtime.prepare_image(&spec.image).await.unwrap();
        runtime.ensure_sandbox(&spec.sandbox).await.unwrap();
    }
    for _ in 0..2 {
        runtime.create(&spec).await.unwrap();
    }
    for _ in 0..2 {
        runtime.start(&spec.id).await.unwrap();
    }
    let first = runtime.list().await.unwrap();
    runtime.create(&spec).await.unwrap();
    runtime.start(&spec.id).await.unwrap();
    assert_eq!(runtime.list().await.unwrap(), first, "repeating changed something");
    assert_eq!(get(address(&spec), "/").await.0, 200);
    for _ in 0..2 {
        runtime.stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    }
    let ended = runtime.list().await.unwrap();
    runtime.start(&spec.id).await.unwrap();
    assert_eq!(runtime.list().await.unwrap(), ended, "a container runs once");
    for _ in 0..2 {
        runtime.remove(&spec.id).await.unwrap();
        runtime.remove_sandbox(&spec.sandbox.id).await.unwrap();
        runtime.forget_image(crate::support::digest_of(&spec.image)).await.unwrap();
    }
    assert_eq!(runtime.list().await.unwrap(), []);
    assert_eq!(runtime.handler(), "wasmtime");
}

#[tokio::test]
async fn states_follow_the_life_of_a_container() {
    let node = Node::new();
    let mut spec = node.container("cli", "cli-p2");
    spec.args = Some(strings(&["sleep", "300", "exit", "9"]));
    node.runtime.create(&spec).await.unwrap();
    assert_eq!(node.state(&spec.id).await, Some(ContainerState::Created));
    let mut events = node.runtime.events();
    node.runtime.start(&spec.id).await.unwrap();
    let Some(ContainerState::Running { started_at }) = node.state(&spec.id).await else {
        panic!("not running")
    };
    let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert_eq!(event, RuntimeEvent { id: spec.id.clone() });
    let Some(ContainerState::Exited { started_at: started, finished_at, code, reason, .. }) =
        node.state(&spec.id).await
    else {
        panic!("an event came before the end")
    };
    assert_eq!((started, code, reason), (Some(started_at), 9, ExitReason::Error));
    assert!(finished_at > started_at);
    let status = &node.runtime.list().await.unwrap()[0];
    assert_eq!(status.image_digest, crate::support::digest_of(&spec.image));
}

#[tokio::test]
async fn concurrent_starts_start_once() {
    let node = Node::new();
    let spec = node.container("server", "hello-wasm");
    node.runtime.create(&spec).await.unwrap();
    let starts = futures::future::join_all((0..8).map(|_| node.runtime.start(&spec.id))).await;
    assert!(starts.iter().all(Result::is_ok), "{starts:?}");
}

#[tokio::test]
async fn an_id_is_one_specification() {
    let node = Node::new();
    let spec = node.container("server", "hello-wasm");
    node.runtime.create(&spec).await.unwrap();
    let other = ContainerSpec { ports: vec![81], ..spec.clone() };
    let error = node.runtime.create(&other).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("container {}: it exists already with another specification; remove it first", spec.id)
    );
}

#[tokio::test]
async fn what_does_not_exist_is_said() {
    let node = Node::new();
    let id = ContainerId { sandbox: SandboxId("none".into()), name: "none".into(), attempt: 0 };
    assert!(matches!(node.runtime.start(&id).await, Err(RuntimeError::NotFound(found)) if found == id));
    assert!(matches!(node.runtime.stop(&id, Duration::ZERO).await, Err(RuntimeError::NotFound(_))));
    node.runtime.remove(&id).await.unwrap();
}

#[tokio::test]
async fn a_container_stopped_before_its_start_never_runs() {
    let node = Node::new();
    let spec = node.container("server", "hello-wasm");
    node.runtime.create(&spec).await.unwrap();
    node.runtime.stop(&spec.id, Duration::ZERO).await.unwrap();
    let Some(ContainerState::Exited { started_at: None, code: 143, .. }) = node.state(&spec.id).await else {
        panic!("{:?}", node.state(&spec.id).await)
    };
    let error = node.runtime.start(&spec.id).await.unwrap_err().to_string();
    assert_eq!(error, "start failed: stopped before it was started");
}

#[tokio::test]
async fn removing_a_sandbox_removes_its_containers_and_no_others() {
    let node = Node::new();
    let mut one = node.container("one", "hello-wasm");
    one.ports = vec![8081];
    let two = node.container("two", "hello-wasm");
    for spec in [&one, &two] {
        node.start(spec).await.unwrap();
    }
    node.runtime.remove_sandbox(&one.sandbox.id).await.unwrap();
    assert_eq!(node.state(&one.id).await, None);
    assert_eq!(get(address(&two), "/").await.0, 200);
}

#[tokio::test]
async fn a_new_process_knows_no_containers() {
    let node = Node::new();
    let spec = node.container("server", "hello-wasm");
    node.start(&spec).await.unwrap();
    let restarted = runtime(node.dir.path(), |_| {});
    assert_eq!(restarted.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_start_that_cannot_open_the_log_or_a_mount_says_which() {
    let node = Node::new();
    let mut spec = node.container("cli", "cli-p1");
    spec.log_path = "/nonexistent/log".into();
    assert_eq!(node.start(&spec).await.unwrap_err().to_string(), "cannot open the log file /nonexistent/log");
    let ended = node.exited(&spec.id).await;
    assert_eq!(
        ended.message,
        "cannot open the log file /nonexistent/log: No such file or directory (os error 2)"
    );
    let mut spec = node.container("other", "cli-p1");
    spec.mounts = vec![wherry_runtime_api::Mount::new("/nonexistent/volume", "/data", true)];
    let error = node.start(&spec).await.unwrap_err().to_string();
    assert!(error.contains("mount /data: cannot open /nonexistent/volume"), "{error}");
}

#[tokio::test]
async fn dropping_the_runtime_ends_everything() {
    let node = Node::new();
    let server = node.container("server", "hello-wasm");
    let mut spin = node.container("spin", "cli-p2");
    spin.args = Some(strings(&["spin"]));
    node.start(&server).await.unwrap();
    node.start(&spin).await.unwrap();
    drop(node);
    let closed = async {
        while tokio::net::TcpStream::connect(address(&server)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the listener is closed");
}
