//! Containers of several OCI runtimes beside each other.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use wherry_runtime_api::{ContainerId, ContainerState, ExecSpec, ExitReason, Runtime, RuntimeError};

use crate::node::{Node, PATIENCE};

/// Which OCI runtime keeps a record of the container, by the file that it keeps it in.
fn kept_by(node: &Node, id: &ContainerId) -> &'static str {
    let kept = node.config.data_dir.join("runtime").join(id.to_string());
    match (kept.join("state.json").exists(), kept.join("status").exists()) {
        (true, false) => "runc",
        (false, true) => "crun",
        other => panic!("{other:?}"),
    }
}

async fn said(node: &Node, id: &ContainerId, script: &str) -> String {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let mut running = node.runtime.exec(id, &ExecSpec { command, ..ExecSpec::default() }).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, running.stdout.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

#[tokio::test]
async fn a_container_has_the_runtime_it_asks_for_else_the_usual_one() {
    let node = Node::of_crun().await;
    let usual = node.script("usual", "exec sleep 1000");
    let mut other = node.script("other", "exec sleep 1000");
    other.program = Some("runc".to_owned());
    for spec in [&usual, &other] {
        node.run(spec).await;
        assert_eq!(said(&node, &spec.id, "echo $FROM").await, "image\n");
    }
    assert_eq!((kept_by(&node, &usual.id), kept_by(&node, &other.id)), ("crun", "runc"));
    node.finish().await;
}

/// What made a container has to end it, whatever is usual by then.
#[tokio::test]
async fn a_container_stays_with_its_runtime_when_the_next_agent_has_another() {
    let mut node = Node::of_crun().await;
    let spec = node.script("main", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    node.run(&spec).await;
    node.until_logged("main", "ready").await;
    node.runtime.close().await;
    node.config.runtime_binary = "runc".into();
    let node = node.restart();
    assert_eq!(said(&node, &spec.id, "echo still here").await, "still here\n");
    let next = node.script("next", "exec sleep 1000");
    node.run(&next).await;
    assert_eq!((kept_by(&node, &spec.id), kept_by(&node, &next.id)), ("crun", "runc"));
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    let state = node.state(&spec.id).await;
    assert!(
        matches!(state, Some(ContainerState::Exited { code: 9, reason: ExitReason::Error, .. })),
        "{state:?}"
    );
    // By crun, too: runc knows of no such container.
    node.runtime.remove(&spec.id).await.unwrap();
    node.finish().await;
}

#[tokio::test]
async fn a_runtime_that_is_not_here_is_named() {
    let node = Node::new().await;
    node.runtime.ready_with("runc").await.unwrap();
    let mut spec = node.script("main", "");
    // Whatever is in PATH, this is no OCI runtime.
    spec.program = Some("sh".to_owned());
    for refused in [node.runtime.ready_with("sh").await, node.runtime.create(&spec).await] {
        let refused = refused.unwrap_err();
        assert!(matches!(&refused, RuntimeError::NoProgram(name) if name == "sh"), "{refused}");
        assert_eq!(refused.to_string(), "no runtime for \"sh\" is configured");
    }
    assert_eq!(node.state(&spec.id).await, None);
    node.finish().await;
}

#[tokio::test]
async fn crun_says_why_a_program_cannot_start() {
    let node = Node::of_crun().await;
    let mut spec = node.script("main", "");
    spec.command = Some(vec!["/no/such/program".into()]);
    node.runtime.create(&spec).await.unwrap();
    let failed = node.runtime.start(&spec.id).await.unwrap_err().to_string();
    assert!(failed.starts_with("crun run failed: ") && failed.contains("/no/such/program"), "{failed}");
    let main = node.script("other", "exec sleep 1000");
    node.run(&main).await;
    let spec = ExecSpec { command: vec!["no-such".to_owned()], ..ExecSpec::default() };
    let failed = node.runtime.exec(&main.id, &spec).await.unwrap_err().to_string();
    assert!(failed.starts_with("crun exec failed: ") && failed.contains("no-such"), "{failed}");
    node.runtime.stop(&main.id, Duration::ZERO).await.unwrap();
    node.finish().await;
}
