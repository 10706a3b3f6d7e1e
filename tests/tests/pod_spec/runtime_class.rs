//! Pods and the `RuntimeClass` they name.

use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, in_cluster};

use crate::pod;

fn class(cluster: &Cluster, more: &Value) {
    let mut class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": "mine" }, "handler": "runc",
    });
    class["overhead"] = more.clone();
    cluster.create(&class.to_string());
}

fn pod_of_class() -> String {
    let mut pod = pod("classy", &json!({ "command": ["true"] }));
    pod["spec"]["runtimeClassName"] = json!("mine");
    pod.to_string()
}

fn is_rejected(cluster: &Cluster) {
    let refused = cluster.try_create(&pod_of_class());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("RuntimeClass \"mine\" not found"), "{error}");
}

/// [sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass.
#[test]
fn pod_with_the_non_existing_runtimeclass_is_rejected() {
    in_cluster(Options::default(), |cluster| is_rejected(cluster));
}

/// [sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass.
#[test]
fn pod_with_the_deleted_runtimeclass_is_rejected() {
    in_cluster(Options::default(), |cluster| {
        class(cluster, &Value::Null);
        cluster.kubectl(&["delete", "runtimeclass", "mine"]);
        is_rejected(cluster);
    });
}

/// [sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead.
#[test]
fn can_schedule_a_pod_requesting_existing_runtimeclass() {
    in_cluster(Options::default(), |cluster| {
        class(cluster, &Value::Null);
        assert!(cluster.create(&pod_of_class())["spec"].get("overhead").is_none());
        cluster.wait_for("condition=PodScheduled", &["pod/classy"]);
    });
}

/// [sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead.
#[test]
fn runtimeclass_overhead_field_must_be_respected() {
    in_cluster(Options::default(), |cluster| {
        let overhead = json!({ "cpu": "10m", "memory": "1Mi" });
        class(cluster, &json!({ "podFixed": overhead }));
        assert_eq!(cluster.create(&pod_of_class())["spec"]["overhead"], overhead);
        cluster.wait_for("condition=PodScheduled", &["pod/classy"]);
    });
}
