//! Tests of each plugin, by Pods and nodes written as the user would.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::ask::with_ask;
use super::*;
use crate::cluster::Cluster;

fn pod(spec: Value) -> PodInfo {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([]);
    }
    let object = json!({ "metadata": { "name": "p", "uid": "p" }, "spec": spec });
    PodInfo::new(Arc::new(serde_json::from_value(object).unwrap()))
}

fn cluster(node: &Value, running: &[Value]) -> Cluster {
    let mut object = json!({
        "metadata": { "name": "n", "labels": { "zone": "a", "disk": "7" } },
        "status": { "allocatable": { "cpu": "2", "memory": "1Gi", "pods": "3" } },
    });
    object["spec"] = node.clone();
    let mut cluster = Cluster::default();
    cluster.set_node(&serde_json::from_value(object).unwrap());
    for (index, spec) in running.iter().enumerate() {
        let mut pod = pod(spec.clone());
        pod.uid = index.to_string();
        cluster.set_pod(&pod, "n");
    }
    cluster
}

/// What a filter says to a Pod, and whether that is for good.
fn refusal(fits: Fits, cluster: &Cluster, spec: Value) -> Option<(String, bool)> {
    let pod = pod(spec);
    let (_, node) = cluster.nodes().next().unwrap();
    let refusal = with_ask(&pod.template, cluster, &Args::default(), |ask| fits(ask, node)).err()?;
    let text = refusal.texts(&pod.template).join(", ");
    Some((text, refusal.is_final))
}

fn requests(requests: &Value) -> Value {
    json!({ "containers": [{ "name": "c", "resources": { "requests": requests } }] })
}

fn host_port(port: i32, ip: &str, protocol: &str) -> Value {
    json!({ "containers": [{ "name": "c", "ports": [
        { "containerPort": 80, "hostPort": port, "hostIP": ip, "protocol": protocol },
    ] }] })
}

#[rstest]
#[case::fits(requests(&json!({ "cpu": "1", "memory": "512Mi" })), None)]
#[case::exactly(requests(&json!({ "cpu": "1500m" })), None)]
#[case::busy(requests(&json!({ "cpu": "1600m" })), Some(("Insufficient cpu", false)))]
#[case::too_large(requests(&json!({ "cpu": "3" })), Some(("Insufficient cpu", true)))]
#[case::several(requests(&json!({ "cpu": "3", "memory": "2Gi" })), Some(("Insufficient cpu, Insufficient memory", true)))]
#[case::unknown(requests(&json!({ "example.com/gpu": "1" })), Some(("Insufficient example.com/gpu", true)))]
#[case::none(json!({}), None)]
fn resources(#[case] spec: Value, #[case] expected: Option<(&str, bool)>) {
    let cluster = cluster(&json!({}), &[requests(&json!({ "cpu": "500m" }))]);
    let found = refusal(node_resources_fit::fits, &cluster, spec);
    assert_eq!(found, expected.map(|(text, is_final)| (text.to_owned(), is_final)));
}

#[test]
fn too_many_pods() {
    let cluster = cluster(&json!({}), &[json!({}), json!({}), json!({})]);
    let found = refusal(node_resources_fit::fits, &cluster, json!({}));
    assert_eq!(found, Some(("Too many pods".to_owned(), false)));
}

#[rstest]
#[case::same(host_port(8080, "", "TCP"), true)]
#[case::another_port(host_port(8081, "", "TCP"), false)]
#[case::another_protocol(host_port(8080, "", "UDP"), false)]
#[case::one_address_of_all(host_port(8080, "10.0.0.1", "TCP"), true)]
fn ports(#[case] spec: Value, #[case] refused: bool) {
    let cluster = cluster(&json!({}), &[host_port(8080, "", "TCP")]);
    assert_eq!(refusal(node_ports::fits, &cluster, spec).is_some(), refused);
}

#[test]
fn ports_of_different_addresses_do_not_meet() {
    let cluster = cluster(&json!({}), &[host_port(8080, "10.0.0.1", "TCP")]);
    assert!(refusal(node_ports::fits, &cluster, host_port(8080, "10.0.0.2", "TCP")).is_none());
    let found = refusal(node_ports::fits, &cluster, host_port(8080, "0.0.0.0", "TCP"));
    assert_eq!(found, Some(("node(s) didn't have free ports for the requested pod ports".to_owned(), false)));
}

#[rstest]
#[case::nothing(json!([]), false)]
#[case::key_and_value(json!([{ "key": "gpu", "value": "yes", "effect": "NoSchedule" }]), true)]
#[case::wrong_value(json!([{ "key": "gpu", "value": "no" }]), false)]
#[case::key_alone(json!([{ "key": "gpu", "operator": "Exists" }]), true)]
#[case::everything(json!([{ "operator": "Exists" }]), true)]
#[case::wrong_effect(json!([{ "operator": "Exists", "effect": "NoExecute" }]), false)]
fn taints(#[case] tolerations: Value, #[case] tolerated: bool) {
    let taints = json!({ "taints": [
        { "key": "gpu", "value": "yes", "effect": "NoSchedule" },
        { "key": "soft", "effect": "PreferNoSchedule" },
    ] });
    let found =
        refusal(taint_toleration::fits, &cluster(&taints, &[]), json!({ "tolerations": tolerations }));
    assert_eq!(found.is_none(), tolerated);
    assert!(found.is_none_or(|found| found == ("node(s) had untolerated taint(s)".to_owned(), true)));
}

#[test]
fn a_cordoned_node() {
    let cluster = cluster(&json!({ "unschedulable": true }), &[]);
    let found = refusal(node_unschedulable::fits, &cluster, json!({}));
    assert_eq!(found, Some(("node(s) were unschedulable".to_owned(), true)));
    let tolerating =
        json!({ "tolerations": [{ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" }] });
    assert_eq!(refusal(node_unschedulable::fits, &cluster, tolerating), None);
}

fn required(expressions: &Value) -> Value {
    json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": expressions }] } } } })
}

#[rstest]
#[case::selector(json!({ "nodeSelector": { "zone": "a" } }), true)]
#[case::selector_misses(json!({ "nodeSelector": { "zone": "b" } }), false)]
#[case::listed(required(&json!([{ "key": "zone", "operator": "In", "values": ["b", "a"] }])), true)]
#[case::not_listed(required(&json!([{ "key": "zone", "operator": "NotIn", "values": ["a"] }])), false)]
#[case::absent_is_not_in(required(&json!([{ "key": "rack", "operator": "NotIn", "values": ["a"] }])), true)]
#[case::exists(required(&json!([{ "key": "rack", "operator": "Exists" }])), false)]
#[case::does_not_exist(required(&json!([{ "key": "rack", "operator": "DoesNotExist" }])), true)]
#[case::greater(required(&json!([{ "key": "disk", "operator": "Gt", "values": ["6"] }])), true)]
#[case::less(required(&json!([{ "key": "disk", "operator": "Lt", "values": ["7"] }])), false)]
#[case::asks_for_nothing(required(&json!([])), false)]
fn affinity(#[case] spec: Value, #[case] fits: bool) {
    let found = refusal(node_affinity::fits, &cluster(&json!({}), &[]), spec);
    assert_eq!(found.is_none(), fits);
    assert!(found.is_none_or(|(text, _)| text == "node(s) didn't match Pod's node affinity/selector"));
}

#[test]
fn scores() {
    let taints = json!({ "taints": [{ "key": "soft", "effect": "PreferNoSchedule" }] });
    let cluster = cluster(&taints, &[requests(&json!({ "cpu": "500m", "memory": "256Mi" }))]);
    let (_, node) = cluster.nodes().next().unwrap();
    let score = |rate: fn(&Ask<'_>, &NodeInfo) -> i64, spec: Value| {
        with_ask(&pod(spec).template, &cluster, &Args::default(), |ask| rate(ask, node))
    };
    let half = requests(&json!({ "cpu": "500m", "memory": "256Mi" }));
    assert_eq!(score(node_resources_fit::rate, half.clone()), 50);
    assert_eq!(score(balanced_allocation::rate, half), 100);
    assert_eq!(score(balanced_allocation::rate, requests(&json!({ "cpu": "1500m" }))), 62);
    assert_eq!(score(taint_toleration::rate, json!({})), 1);
    assert_eq!(score(taint_toleration::rate, json!({ "tolerations": [{ "operator": "Exists" }] })), 0);
    let preferred = json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 30, "preference": { "matchExpressions": [{ "key": "zone", "operator": "Exists" }] } },
        { "weight": 50, "preference": { "matchExpressions": [{ "key": "rack", "operator": "Exists" }] } },
    ] } } });
    assert_eq!(score(node_affinity::rate, preferred), 30);
}

/// The score of a node of 8 CPUs and 1 GiB with these resources, with what Pods there ask for already.
fn fit_score(strategy: Strategy, weights: &[(&str, i64)], used: &Value, wanted: &Value) -> i64 {
    let mut cluster = Cluster::default();
    let allocatable = json!({ "cpu": "8", "memory": "1Gi", "pods": "9", "intel.com/foo": "4" });
    let node = json!({ "metadata": { "name": "n" }, "status": { "allocatable": allocatable } });
    cluster.set_node(&serde_json::from_value(node).unwrap());
    let mut running = pod(requests(used));
    running.uid = "running".to_owned();
    cluster.set_pod(&running, "n");
    let resources =
        weights.iter().map(|(name, weight)| ResourceSpec { name: (*name).to_owned(), weight: *weight });
    let fit = FitArgs { strategy, resources: resources.collect(), ..Args::default().fit };
    let args = Args { fit, ..Args::default() };
    let (_, node) = cluster.nodes().next().unwrap();
    with_ask(&pod(requests(wanted)).template, &cluster, &args, |ask| node_resources_fit::rate(ask, node))
}

/// The example of the documentation on bin packing of extended resources; its scores go to 10 and are cut off.
#[test]
fn bin_packing() {
    let shape = vec![ShapePoint { utilization: 0, score: 0 }, ShapePoint { utilization: 100, score: 10 }];
    let weights = [("intel.com/foo", 5), ("memory", 1), ("cpu", 3)];
    let used = json!({ "intel.com/foo": "1", "memory": "256Mi", "cpu": "1" });
    let wanted = json!({ "intel.com/foo": "2", "memory": "256Mi", "cpu": "2" });
    let ratio = Strategy::RequestedToCapacityRatio(shape);
    assert_eq!(fit_score(ratio.clone(), &weights, &used, &wanted), 60, "(75 * 5 + 50 + 37 * 3) / 9");
    assert_eq!(fit_score(Strategy::MostAllocated, &weights, &used, &wanted), 59);
    assert_eq!(fit_score(Strategy::LeastAllocated, &weights, &used, &wanted), 40);
    let without = json!({ "memory": "256Mi", "cpu": "2" });
    assert_eq!(
        fit_score(ratio, &weights, &used, &without),
        40,
        "what is not asked for does not count: (50 + 37 * 3) / 4"
    );
}

#[test]
fn a_broken_line_of_scores() {
    let shape = [(20, 10), (40, 0), (80, 5)].map(|(utilization, score)| ShapePoint { utilization, score });
    for (cpu, expected) in [("800m", 100), ("2400m", 50), ("4800m", 25), ("8", 50)] {
        let strategy = Strategy::RequestedToCapacityRatio(shape.to_vec());
        let found = fit_score(strategy, &[("cpu", 1)], &json!({ "cpu": "0" }), &json!({ "cpu": cpu }));
        assert_eq!(found, expected, "{cpu}");
    }
}

#[test]
fn somebody_else_looks_after_ignored_resources() {
    let cluster = cluster(&json!({}), &[]);
    let (_, node) = cluster.nodes().next().unwrap();
    let wanted = pod(requests(&json!({ "example.com/gpu": "1" }))).template;
    let fits = |ignored: &[&str], groups: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let fit = FitArgs { ignored: list(ignored), ignored_groups: list(groups), ..Args::default().fit };
        let args = Args { fit, ..Args::default() };
        with_ask(&wanted, &cluster, &args, |ask| node_resources_fit::fits(ask, node)).is_ok()
    };
    assert!(!fits(&[], &[]));
    assert!(fits(&["example.com/gpu"], &[]));
    assert!(fits(&[], &["example.com"]));
}

#[test]
fn a_profile_may_ask_for_more_of_nodes() {
    let cluster = cluster(&json!({}), &[]);
    let (_, node) = cluster.nodes().next().unwrap();
    let in_zone = |zone: &str| {
        let expression = json!({ "key": "zone", "operator": "In", "values": [zone] });
        crate::pod::NodeTerm::parse(
            &serde_json::from_value(json!({ "matchExpressions": [expression] })).unwrap(),
        )
    };
    for (zone, fits, wishes) in [("a", true, 7), ("b", false, 0)] {
        let term = in_zone(zone).unwrap();
        let args = Args {
            added_required: Some(vec![term.clone()]),
            added_preferred: vec![(7, term)],
            ..Args::default()
        };
        with_ask(&pod(json!({})).template, &cluster, &args, |ask| {
            assert_eq!(node_affinity::fits(ask, node).is_ok(), fits);
            assert_eq!(node_affinity::rate(ask, node), wishes);
        });
    }
}

#[rstest]
#[case::all_of_it("image", 1000, 100)]
#[case::half_of_it("image", 511, 49)]
#[case::too_small_to_matter("image", 10, 0)]
#[case::another_tag("image:v2", 1000, 0)]
fn images_that_are_there(#[case] image: &str, #[case] mebibytes: i64, #[case] expected: i64) {
    let mut cluster = Cluster::default();
    let images = json!([{ "names": ["image:latest"], "sizeBytes": mebibytes << 20 }]);
    let node = json!({ "metadata": { "name": "n" }, "status": { "images": images } });
    cluster.set_node(&serde_json::from_value(node).unwrap());
    let template = pod(json!({ "containers": [{ "name": "c", "image": image }] })).template;
    let (_, node) = cluster.nodes().next().unwrap();
    let found = with_ask(&template, &cluster, &Args::default(), |ask| image_locality::rate(ask, node));
    assert_eq!(found, expected);
}

#[test]
fn wasm_that_is_compiled_already() {
    let mut cluster = Cluster::default();
    let images = json!([{ "names": ["small:latest"], "sizeBytes": 1000 }]);
    let node = json!({ "metadata": { "name": "n" }, "status": { "images": images } });
    cluster.set_node(&serde_json::from_value(node).unwrap());
    let (_, node) = cluster.nodes().next().unwrap();
    let score = |class: &str| {
        let containers = json!([{ "name": "c", "image": "small" }, { "name": "d", "image": "absent" }]);
        let template = pod(json!({ "runtimeClassName": class, "containers": containers })).template;
        with_ask(&template, &cluster, &Args::default(), |ask| {
            assert_eq!(image_locality::rate(ask, node), 0, "too small for it");
            wasm_locality::rate(ask, node)
        })
    };
    assert_eq!((score("wasmtime"), score("runc")), (50, 0));
}
