//! Hooks: a container has started when its postStart hook is done; a preStop hook takes from the grace period.

use super::*;

fn hooked(lifecycle: Value) -> Value {
    let mut spec = one("app:v1");
    spec["containers"][0]["lifecycle"] = lifecycle;
    spec
}

fn exec(command: &str) -> Value {
    json!({ "exec": { "command": [command] } })
}

#[tokio::test(start_paused = true)]
async fn a_container_is_not_running_before_its_post_start_hook_is_done() {
    let node = Node::started(false).await;
    let began = Instant::now();
    node.create(hooked(json!({ "postStart": { "sleep": { "seconds": 7 } } })));
    let pod = node.wait_ready().await;
    assert!(began.elapsed() >= Duration::from_secs(7), "{:?}", began.elapsed());
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    let early = node.api.statuses().into_iter().find(|status| {
        let state = &status["containerStatuses"][0]["state"];
        state["waiting"]["reason"] == "ContainerCreating"
    });
    assert!(early.is_some(), "until then it is being created");
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_post_start_hook_fails_is_stopped_and_started_again() {
    let node = Node::started(false).await;
    node.wasmtime.answer("warm-up", "nobody is there", 4);
    node.create(hooked(json!({ "postStart": exec("warm-up") })));
    assert_eq!(node.api.wait_event("FailedPostStartHook").await, "PostStartHook failed");
    assert_eq!(node.api.wait_event("Killing").await, "FailedPostStartHook");
    node.wasmtime.answer("warm-up", "", 0);
    node.wait_ready().await;
    assert_eq!(&node.wasmtime.executed()[..2], ["main: warm-up", "main: warm-up"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_does_not_wait_for_its_post_start_hook() {
    let node = Node::started(false).await;
    node.create(hooked(json!({ "postStart": exec("endless") })));
    while node.wasmtime.executed().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let began = Instant::now();
    node.delete(5);
    node.api.wait_gone(POD).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(node.wasmtime.existing(), []);
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_hook_runs_before_the_container_is_stopped_and_its_failure_is_told() {
    let node = Node::started(false).await;
    node.wasmtime.answer("say-goodbye", "", 1);
    node.create(hooked(json!({ "preStop": exec("say-goodbye") })));
    node.wait_ready().await;
    node.delete(30);
    assert_eq!(node.api.wait_event("FailedPreStopHook").await, "PreStopHook failed");
    node.api.wait_gone(POD).await;
    assert_eq!(node.wasmtime.executed(), ["main: say-goodbye"]);
}

#[tokio::test(start_paused = true)]
async fn the_grace_period_includes_the_pre_stop_hook() {
    let node = Node::started(false).await;
    node.create(hooked(json!({ "preStop": exec("endless") })));
    node.wait_ready().await;
    let began = Instant::now();
    node.delete(9);
    node.api.wait_gone(POD).await;
    let took = began.elapsed().as_secs();
    assert!((9..=12).contains(&took), "{took} s");
    assert_eq!(node.wasmtime.grace(), Some(Duration::from_secs(2)), "the program gets a moment of its own");
}
