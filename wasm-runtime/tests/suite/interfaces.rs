//! Interfaces beyond those of WASI 0.2: configuration, buckets, logs.

use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, Mount, Runtime as _};

use crate::support::{Node, log, runtime, strings};

/// A container that does this; of the same Pod as another if there is one.
pub(crate) fn doing(
    node: &Node,
    name: &str,
    beside: Option<&ContainerSpec>,
    steps: &[&str],
) -> ContainerSpec {
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
pub(crate) async fn printed(node: &Node, spec: &ContainerSpec) -> Vec<String> {
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

/// The same with a volume, in which its buckets are.
fn in_volume(node: &Node, name: &str, volume: &str, steps: &[&str]) -> ContainerSpec {
    let mut spec = doing(node, name, None, steps);
    let volume = node.dir.path().join(volume);
    std::fs::create_dir_all(&volume).unwrap();
    spec.mounts = vec![Mount::new(volume, "/data", false)];
    spec.annotations.insert("run.wherry.dev/keyvalue".into(), "/data".into());
    spec
}

#[tokio::test]
async fn buckets_in_a_volume_outlive_pods_and_agents() {
    let node = Node::new();
    let first =
        in_volume(&node, "first", "one", &["set", "b", "k", "v", "increment", "b", "n", "2", "batch", "c"]);
    printed(&node, &first).await;
    node.runtime.remove_sandbox(&first.sandbox.id).await.unwrap();
    let steps = ["get", "b", "k", "increment", "b", "n", "3", "delete", "b", "k", "keys", "c"];
    let second = in_volume(&node, "second", "one", &steps);
    assert_eq!(printed(&node, &second).await, [r#"Some("v")"#, "5", r#"["a"]"#], "another Pod has them");
    let steps = ["keys", "b"];
    let stranger = in_volume(&node, "stranger", "other", &steps);
    assert_eq!(printed(&node, &stranger).await, ["[]"], "another volume has others");
    let memory = doing(&node, "memory", None, &steps);
    assert_eq!(printed(&node, &memory).await, ["[]"], "and so has a Pod that says nothing");
    let dir = node.dir;
    drop(node.runtime);
    let node = Node { runtime: runtime(dir.path(), |_| {}), dir };
    let third = in_volume(&node, "third", "one", &["keys", "b", "get", "b", "n"]);
    assert_eq!(printed(&node, &third).await, [r#"["n"]"#, r#"Some("5")"#]);
}

#[tokio::test]
async fn containers_of_many_pods_change_the_buckets_of_a_volume_at_one_time() {
    let node = Node::new();
    let many: Vec<_> = (0..8)
        .map(|n| {
            in_volume(
                &node,
                &format!("pod-{n}"),
                "one",
                &["increment", "b", "n", "1", "increment", "b", "n", "1"],
            )
        })
        .collect();
    futures::future::join_all(many.iter().map(|spec| printed(&node, spec))).await;
    let after = in_volume(&node, "after", "one", &["get", "b", "n"]);
    assert_eq!(printed(&node, &after).await, [r#"Some("16")"#]);
}

#[tokio::test]
async fn a_volume_keeps_no_more_than_it_may_and_must_be_there() {
    let node = Node::with(|config| config.limits.keyvalue_bytes = 200);
    let spec = in_volume(&node, "much", "one", &["set", "b", "k", "v", "set", "b", "l", "v"]);
    assert_eq!(node.run(&spec).await.code, 1);
    let told = log(&spec, Stream::Stderr).join("\n");
    assert!(told.contains("this volume may keep 200 bytes, and 262 were wanted"), "{told}");
    for (name, change) in [
        ("read-only", (|spec: &mut ContainerSpec| spec.mounts[0].read_only = true) as fn(&mut _)),
        ("without", |spec| spec.mounts.clear()),
    ] {
        let mut spec = in_volume(&node, name, "one", &["keys", "b"]);
        change(&mut spec);
        let refused = node.start(&spec).await.unwrap_err().to_string();
        assert!(
            refused.contains("names \"/data\", where it mounts no directory that it may write to"),
            "{refused}"
        );
    }
    let mut other = node.container("other", "cli-p2");
    other.args = Some(strings(&["exit", "0"]));
    other.annotations.insert("run.wherry.dev/keyvalue".into(), "/data".into());
    assert_eq!(node.run(&other).await.code, 0, "who imports no buckets needs no volume");
}

#[tokio::test]
async fn log_lines_have_their_severity_and_context() {
    let node = Node::new();
    let spec = doing(&node, "log", None, &["log", "db", "slow", "log", "", "two\nlines"]);
    assert!(printed(&node, &spec).await.is_empty());
    assert_eq!(log(&spec, Stream::Stderr), ["WARN db: slow", "WARN two", "lines"]);
}
