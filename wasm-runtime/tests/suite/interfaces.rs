//! Interfaces beyond those of WASI 0.2: configuration, buckets, logs.

use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, Runtime as _};

use crate::support::{Node, log, strings};

/// A container that does this; of the same Pod as another if there is one.
fn doing(node: &Node, name: &str, beside: Option<&ContainerSpec>, steps: &[&str]) -> ContainerSpec {
    let mut spec = node.container(name, "interfaces");
    spec.args = Some(strings(steps));
    spec.env = vec![("COLOR".into(), "blue".into())];
    // None of them reaches anybody, so none needs leave.
    spec.annotations.insert("run.wherry.dev/level".into(), "restricted".into());
    if let Some(beside) = beside {
        spec.sandbox = beside.sandbox.clone();
        spec.id.sandbox = beside.id.sandbox.clone();
    }
    spec
}

/// What it printed, once it ended well.
async fn printed(node: &Node, spec: &ContainerSpec) -> Vec<String> {
    let exited = node.run(spec).await;
    assert_eq!(exited.code, 0, "{exited:?}: {:?}", log(spec, Stream::Stderr));
    log(spec, Stream::Stdout)
}

#[tokio::test]
async fn configuration_is_the_environment_of_the_container() {
    let node = Node::new();
    let spec = doing(&node, "config", None, &["config", "COLOR", "config", "color", "configs"]);
    let all = r#"[("HOSTNAME", "host-config"), ("COLOR", "blue")]"#;
    assert_eq!(printed(&node, &spec).await, [r#"Some("blue")"#, "None", all]);
}

#[tokio::test]
async fn containers_of_a_pod_share_buckets_until_it_is_gone() {
    let node = Node::new();
    let first = doing(&node, "first", None, &["set", "b", "k", "v", "increment", "b", "n", "2"]);
    assert_eq!(printed(&node, &first).await, ["2"]);
    let steps = ["get", "b", "k", "get", "other", "k", "increment", "b", "n", "3", "keys", "b", "batch", "c"];
    let second = doing(&node, "second", Some(&first), &steps);
    let batch = r#"[Some(("a", "value")), None]"#;
    let expected = [r#"Some("v")"#, "None", "5", r#"["k", "n"]"#, batch];
    assert_eq!(printed(&node, &second).await, expected);
    let steps = ["delete", "b", "k", "exists", "b", "k", "exists", "b", "n"];
    let third = doing(&node, "third", Some(&first), &steps);
    assert_eq!(printed(&node, &third).await, ["false", "true"]);
    let stranger = doing(&node, "stranger", None, &["keys", "b"]);
    assert_eq!(printed(&node, &stranger).await, ["[]"], "another Pod has buckets of its own");
    node.runtime.remove_sandbox(&first.sandbox.id).await.unwrap();
    let mut again = doing(&node, "again", Some(&first), &["exists", "b", "n"]);
    again.id.attempt = 1;
    assert_eq!(printed(&node, &again).await, ["false"]);
}

#[tokio::test]
async fn a_pod_keeps_no_more_than_it_may() {
    let node = Node::with(|config| config.limits.keyvalue_bytes = 200);
    let spec = doing(&node, "much", None, &["set", "b", "k", "v", "set", "b", "l", "v"]);
    assert_eq!(node.run(&spec).await.code, 1);
    let told = log(&spec, Stream::Stderr).join("\n");
    assert!(told.contains("this Pod may keep 200 bytes, and 262 were wanted"), "{told}");
    let left = doing(&node, "left", Some(&spec), &["keys", "b"]);
    assert_eq!(printed(&node, &left).await, [r#"["k"]"#]);
}

#[tokio::test]
async fn log_lines_have_their_severity_and_context() {
    let node = Node::new();
    let spec = doing(&node, "log", None, &["log", "db", "slow", "log", "", "two\nlines"]);
    assert!(printed(&node, &spec).await.is_empty());
    assert_eq!(log(&spec, Stream::Stderr), ["WARN db: slow", "WARN two", "lines"]);
}
