//! Tests of whole decisions and of the messages users read.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::plugins::{Plugin, PluginSet};

fn pod(name: &str, spec: &Value) -> PodInfo {
    let mut spec = spec.clone();
    if spec.get("containers").is_none() {
        spec["containers"] = json!([]);
    }
    let object = json!({ "metadata": { "name": name, "uid": name }, "spec": spec });
    PodInfo::new(Arc::new(serde_json::from_value(object).unwrap()))
}

/// One with a label `index`, which is its name, too.
fn labelled(index: &str, rules: &Value) -> PodInfo {
    let mut object = pod(index, rules).object.as_ref().clone();
    object.metadata.labels = Some([("index".to_owned(), index.to_owned())].into());
    PodInfo::new(Arc::new(object))
}

fn cpu(amount: &str) -> Value {
    json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": amount } } }] })
}

/// Nodes of 2 CPUs, by name and spec.
fn cluster(nodes: &[(&str, Value)]) -> Cluster {
    let mut cluster = Cluster::default();
    for (name, spec) in nodes {
        let object = json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
            "spec": spec,
            "status": { "allocatable": { "cpu": "2", "memory": "4Gi", "pods": "110" } },
        });
        cluster.set_node(&serde_json::from_value(object).unwrap());
    }
    cluster
}

fn first(_: usize) -> usize {
    0
}

fn decide(pod: &PodInfo, cluster: &mut Cluster) -> Result<String, Unschedulable> {
    decide_with(pod, cluster, first)
}

fn decide_with(
    pod: &PodInfo,
    cluster: &mut Cluster,
    draw: fn(usize) -> usize,
) -> Result<String, Unschedulable> {
    let profile = Profile::new("default-scheduler".to_owned());
    let decision = schedule(pod, cluster, &profile, &mut Scratch::default(), draw)?;
    Ok(cluster.node(decision.node).name.clone())
}

fn place(pod: &PodInfo, cluster: &mut Cluster, node: &str) {
    cluster.set_pod(pod, node);
}

#[test]
fn without_nodes() {
    let found = decide(&pod("p", &json!({})), &mut Cluster::default()).unwrap_err();
    assert_eq!(found.message(), "no nodes available to schedule pods");
}

#[rstest]
#[case::full(cpu("1500m"), 1)]
#[case::never_fits(cpu("5"), 0)]
fn one_node(#[case] spec: Value, #[case] resolvable: usize) {
    let mut cluster = cluster(&[("n", json!({}))]);
    place(&pod("running", &cpu("1")), &mut cluster, "n");
    let found = decide(&pod("p", &spec), &mut cluster).unwrap_err();
    assert_eq!(found.message(), "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(found.plugins, PluginSet::from_iter([Plugin::NodeResourcesFit]));
    assert_eq!(found.resolvable.len(), resolvable);
}

#[test]
fn reasons_are_counted_and_sorted() {
    let tainted = json!({ "taints": [{ "key": "k", "effect": "NoSchedule" }] });
    let cordoned = json!({ "unschedulable": true });
    let mut cluster = cluster(&[("a", tainted.clone()), ("b", tainted), ("c", cordoned), ("d", json!({}))]);
    let found = decide(&pod("p", &cpu("3")), &mut cluster).unwrap_err();
    assert_eq!(
        found.message(),
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable, 2 node(s) had untolerated \
         taint(s)."
    );
    let expected = [Plugin::NodeResourcesFit, Plugin::NodeUnschedulable, Plugin::TaintToleration];
    assert_eq!(found.plugins, PluginSet::from_iter(expected));
    assert_eq!(found.resolvable, []);
}

#[test]
fn the_emptier_node_is_better() {
    let mut cluster = cluster(&[("a", json!({})), ("b", json!({})), ("c", json!({}))]);
    for node in ["a", "c"] {
        place(&pod(node, &cpu("1")), &mut cluster, node);
    }
    assert_eq!(decide(&pod("p", &cpu("500m")), &mut cluster).as_deref(), Ok("b"));
}

#[test]
fn what_was_assumed_counts() {
    let mut cluster = cluster(&[("a", json!({}))]);
    let large = pod("p", &cpu("1500m"));
    assert_eq!(decide(&large, &mut cluster).as_deref(), Ok("a"));
    cluster.assume(&large, cluster.node_named("a").unwrap());
    assert!(decide(&pod("q", &cpu("1500m")), &mut cluster).is_err());
    cluster.forget("p");
    assert_eq!(decide(&pod("q", &cpu("1500m")), &mut cluster).as_deref(), Ok("a"));
}

#[test]
fn equals_are_drawn_from() {
    let mut cluster = cluster(&[("a", json!({})), ("b", json!({}))]);
    let pod = pod("p", &json!({}));
    assert_eq!(decide_with(&pod, &mut cluster, |count| count - 1).as_deref(), Ok("b"));
    assert_eq!(decide(&pod, &mut cluster).as_deref(), Ok("a"));
}

#[test]
fn only_the_nodes_it_names_are_looked_at() {
    let mut cluster = cluster(&[("a", json!({})), ("b", json!({})), ("c", json!({ "unschedulable": true }))]);
    let named = |name: &str| {
        let field = json!({ "key": "metadata.name", "operator": "In", "values": [name] });
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [field] }] } } } })
    };
    assert_eq!(decide(&pod("p", &named("b")), &mut cluster).as_deref(), Ok("b"));
    assert_eq!(
        decide(&pod("p", &named("c")), &mut cluster).unwrap_err().message(),
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    );
    assert_eq!(pod("p", &named("b")).template, pod("p", &named("c")).template, "their template is shared");
}

/// Which of these Pods of node `a` another one would fit without; all are back after.
fn fits_without(waiting: &PodInfo, cluster: &mut Cluster, uids: &[&str]) -> bool {
    let node = cluster.node_named("a").unwrap();
    let away: Vec<_> = uids.iter().map(|uid| cluster.placed(uid).unwrap()).collect();
    let (profile, mut scratch) = (Profile::new("default-scheduler".to_owned()), Scratch::default());
    let asker = Asker::new(waiting, &profile, cluster, &mut scratch);
    let mut supposed = Supposed::new(&asker, node, cluster, &mut scratch);
    for pod in &away {
        supposed.take_away(*pod);
    }
    let fits = supposed.refusal().is_none();
    for pod in &away {
        supposed.put_back(*pod);
    }
    assert!(away.is_empty() || supposed.refusal().is_some(), "those put back count again");
    drop(supposed);
    assert!(uids.iter().all(|uid| cluster.is_placed(uid)));
    fits
}

#[test]
fn what_would_fit_without_others() {
    let mut cluster = cluster(&[("a", json!({})), ("b", json!({}))]);
    place(&pod("running", &cpu("1500m")), &mut cluster, "a");
    let waiting = pod("p", &cpu("1"));
    assert!(!fits_without(&waiting, &mut cluster, &[]));
    assert!(fits_without(&waiting, &mut cluster, &["running"]));
    assert!(!fits_without(&waiting, &mut cluster, &[]), "it counts again");
}

#[test]
fn what_would_fit_without_those_who_keep_it_away() {
    let mut cluster = cluster(&[("a", json!({})), ("b", json!({}))]);
    let term = json!({ "labelSelector": { "matchLabels": { "index": "1" } }, "topologyKey": "kubernetes.io/hostname" });
    let apart = json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } });
    let keeper = pod("keeper", &apart);
    place(&keeper, &mut cluster, "a");
    place(&pod("other", &json!({})), &mut cluster, "a");
    let waiting = labelled("1", &json!({}));
    assert!(!fits_without(&waiting, &mut cluster, &["other"]));
    assert!(fits_without(&waiting, &mut cluster, &["keeper"]));
    assert!(fits_without(&waiting, &mut cluster, &["other", "keeper"]));
}

#[test]
fn labels_that_nobody_asks_for_make_no_difference() {
    let mut cluster = cluster(&[("a", json!({})), ("b", json!({}))]);
    let profile = Profile::new("default-scheduler".to_owned());
    let mut scratch = Scratch::default();
    for index in ["0", "1", "2"] {
        assert!(schedule(&labelled(index, &cpu("1m")), &mut cluster, &profile, &mut scratch, first).is_ok());
    }
    assert_eq!(scratch.classes.len(), 1);
    // A Pod that keeps one of them away does.
    let term = json!({ "labelSelector": { "matchLabels": { "index": "1" } }, "topologyKey": "name" });
    let mut apart = cpu("1m");
    apart["affinity"] =
        json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } });
    place(&labelled("apart", &apart), &mut cluster, "a");
    for index in ["0", "1"] {
        assert!(schedule(&labelled(index, &cpu("1m")), &mut cluster, &profile, &mut scratch, first).is_ok());
    }
    assert_eq!(scratch.classes.len(), 3);
}
