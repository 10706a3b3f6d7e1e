//! Tests of whole decisions and of the messages users read.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn pod(name: &str, spec: &Value) -> PodInfo {
    let mut spec = spec.clone();
    if spec.get("containers").is_none() {
        spec["containers"] = json!([]);
    }
    let object = json!({ "metadata": { "name": name, "uid": name }, "spec": spec });
    PodInfo::new(Arc::new(serde_json::from_value(object).unwrap()))
}

fn cpu(amount: &str) -> Value {
    json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": amount } } }] })
}

/// Nodes of 2 CPUs, by name and spec.
fn cluster(nodes: &[(&str, Value)]) -> Cluster {
    let mut cluster = Cluster::default();
    for (name, spec) in nodes {
        let object = json!({
            "metadata": { "name": name },
            "spec": spec,
            "status": { "allocatable": { "cpu": "2", "memory": "4Gi", "pods": "110" } },
        });
        cluster.set_node(Arc::new(serde_json::from_value(object).unwrap()));
    }
    cluster
}

fn first(_: usize) -> usize {
    0
}

#[test]
fn without_nodes() {
    let found = schedule(&pod("p", &json!({})), &Cluster::default(), first).unwrap_err();
    assert_eq!(found.message, "no nodes available to schedule pods");
}

#[rstest]
#[case::full(
    cpu("1500m"),
    0,
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found \
     for incoming pod."
)]
#[case::never_fits(
    cpu("5"),
    0,
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful \
     for scheduling."
)]
#[case::victims_would_help_but_are_left_alone(
    cpu("1500m"),
    10,
    "0/1 nodes are available: 1 Insufficient cpu."
)]
fn one_node(#[case] spec: Value, #[case] priority: i32, #[case] expected: &str) {
    let mut cluster = cluster(&[("n", json!({}))]);
    cluster.set_pod(Arc::new(pod("running", &cpu("1"))), "n");
    let mut pod = pod("p", &spec);
    pod.priority = priority;
    let found = schedule(&pod, &cluster, first).unwrap_err();
    assert_eq!(found.message, expected);
    assert_eq!(found.plugins, BTreeSet::from(["NodeResourcesFit"]));
    pod.may_preempt = false;
    let found = schedule(&pod, &cluster, first).unwrap_err().message;
    assert_eq!(
        found,
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
    );
}

#[test]
fn reasons_are_counted_and_sorted() {
    let tainted = json!({ "taints": [{ "key": "k", "effect": "NoSchedule" }] });
    let cordoned = json!({ "unschedulable": true });
    let cluster = cluster(&[("a", tainted.clone()), ("b", tainted), ("c", cordoned), ("d", json!({}))]);
    let found = schedule(&pod("p", &cpu("3")), &cluster, first).unwrap_err();
    assert_eq!(
        found.message,
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable, 2 node(s) had untolerated \
         taint(s). preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
    );
    assert_eq!(found.plugins, BTreeSet::from(["NodeResourcesFit", "NodeUnschedulable", "TaintToleration"]));
}

#[test]
fn the_emptier_node_is_better() {
    let mut cluster = cluster(&[("a", json!({})), ("b", json!({})), ("c", json!({}))]);
    for node in ["a", "c"] {
        cluster.set_pod(Arc::new(pod(node, &cpu("1"))), node);
    }
    assert_eq!(schedule(&pod("p", &cpu("500m")), &cluster, first).as_deref(), Ok("b"));
}

#[test]
fn what_was_assumed_counts() {
    let mut cluster = cluster(&[("a", json!({}))]);
    let large = pod("p", &cpu("1500m"));
    assert_eq!(schedule(&large, &cluster, first).as_deref(), Ok("a"));
    cluster.assume(Arc::new(large.clone()), "a");
    assert!(schedule(&pod("q", &cpu("1500m")), &cluster, first).is_err());
    cluster.forget("p");
    assert_eq!(schedule(&pod("q", &cpu("1500m")), &cluster, first).as_deref(), Ok("a"));
}

#[test]
fn equals_are_drawn_from() {
    let cluster = cluster(&[("a", json!({})), ("b", json!({}))]);
    let pod = pod("p", &json!({}));
    assert_eq!(schedule(&pod, &cluster, |count| count - 1).as_deref(), Ok("b"));
    assert_eq!(schedule(&pod, &cluster, first).as_deref(), Ok("a"));
}
