//! Tests of what depends on the domains of nodes, with the cases of Kubernetes' documentation of affinity between Pods
//! and of topology spread constraints.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// A cluster of nodes in zones.
fn cluster(nodes: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::default();
    for (name, zone) in nodes {
        let mut labels = json!({ HOSTNAME: name });
        if !zone.is_empty() {
            labels[ZONE] = json!(zone);
        }
        let status = json!({ "allocatable": { "cpu": "8", "memory": "8Gi", "pods": "99" } });
        let node = json!({ "metadata": { "name": name, "labels": labels }, "status": status });
        cluster.set_node(&serde_json::from_value(node).unwrap());
    }
    cluster
}

/// A Pod of an app; what it asks for is added to its spec.
fn pod(name: &str, app: &str, rules: &Value) -> PodInfo {
    let mut spec = rules.clone();
    spec["containers"] =
        json!([{ "name": "c", "resources": { "requests": { "cpu": "100m", "memory": "100Mi" } } }]);
    let metadata = json!({ "name": name, "uid": name, "namespace": "default", "labels": { "app": app } });
    PodInfo::new(Arc::new(serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()))
}

fn place(cluster: &mut Cluster, app: &str, rules: &Value, nodes: &[&str]) {
    for (at, node) in nodes.iter().enumerate() {
        cluster.set_pod(&pod(&format!("{app}-{node}-{at}"), app, rules), node);
    }
}

/// The nodes that fit, or why none does.
fn fitting(pod: &PodInfo, cluster: &mut Cluster) -> Result<Vec<String>, String> {
    let (profile, mut scratch) = (Profile::new("default-scheduler".to_owned()), Scratch::default());
    let place = scratch.class(pod, cluster, &profile);
    let question = Question { pod, needs: None, cluster, profile: &profile };
    let mut nodes = Vec::new();
    question.find_fitting(&scratch.classes[place], &mut nodes);
    if nodes.is_empty() {
        return Err(question.refused(&scratch.classes[place]).message());
    }
    Ok(nodes.into_iter().map(|node| cluster.node(NodeIndex::new(node as usize)).name.clone()).collect())
}

/// The node that is chosen.
fn chosen(pod: &PodInfo, cluster: &mut Cluster) -> String {
    let (profile, mut scratch) = (Profile::new("default-scheduler".to_owned()), Scratch::default());
    let decision = schedule(pod, cluster, &profile, &mut scratch, |_| 0).unwrap();
    cluster.node(decision.node).name.clone()
}

fn spread(key: &str, more: &Value) -> Value {
    let mut constraint = json!({
        "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "foo" } },
    });
    constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    constraint
}

fn constraints(constraints: &[Value]) -> Value {
    json!({ "topologySpreadConstraints": constraints })
}

const FOUR: [(&str, &str); 4] = [("node1", "a"), ("node2", "a"), ("node3", "b"), ("node4", "b")];

#[rstest]
#[case::one_constraint(&[ZONE], Ok(vec!["node3", "node4"]))]
#[case::two_constraints(&[ZONE, HOSTNAME], Ok(vec!["node4"]))]
fn spread_over_zones_and_nodes(#[case] keys: &[&str], #[case] expected: Result<Vec<&str>, String>) {
    let mut cluster = cluster(&FOUR);
    place(&mut cluster, "foo", &json!({}), &["node1", "node2", "node3"]);
    let rules: Vec<_> = keys.iter().map(|key| spread(key, &json!({}))).collect();
    let found = fitting(&pod("p", "foo", &constraints(&rules)), &mut cluster);
    assert_eq!(found, expected.map(|nodes| nodes.into_iter().map(str::to_owned).collect()));
}

#[test]
fn constraints_that_contradict_each_other() {
    let mut cluster = cluster(&[("node1", "a"), ("node2", "a"), ("node3", "b")]);
    place(&mut cluster, "foo", &json!({}), &["node1", "node1", "node2", "node3", "node3"]);
    let rules = constraints(&[spread(ZONE, &json!({})), spread(HOSTNAME, &json!({}))]);
    let found = fitting(&pod("p", "foo", &rules), &mut cluster).unwrap_err();
    assert_eq!(found, "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.");
}

#[test]
fn spread_with_conflicting_node_affinity() {
    let mut cluster = cluster(&[("node1", "a"), ("node2", "a"), ("node3", "b"), ("node5", "c")]);
    place(&mut cluster, "foo", &json!({}), &["node1", "node2", "node3"]);
    let expression = json!({ "key": ZONE, "operator": "NotIn", "values": ["c"] });
    let mut rules = constraints(&[spread(ZONE, &json!({}))]);
    rules["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [expression] }] } } });
    // Zone c is empty, but it does not count.
    assert_eq!(fitting(&pod("p", "foo", &rules), &mut cluster).unwrap(), ["node3"]);
    rules["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!("Ignore");
    assert!(fitting(&pod("p", "foo", &rules), &mut cluster).is_err(), "now the least is that of zone c");
}

#[test]
fn tainted_nodes_count_unless_taints_are_honored() {
    let mut cluster = cluster(&[("node1", "a"), ("node2", "b")]);
    let tainted = json!({
        "metadata": { "name": "node3", "labels": { HOSTNAME: "node3", ZONE: "c" } },
        "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] },
    });
    cluster.set_node(&serde_json::from_value(tainted).unwrap());
    place(&mut cluster, "foo", &json!({}), &["node1", "node2"]);
    let of = |policy: &str| constraints(&[spread(ZONE, &json!({ "nodeTaintsPolicy": policy }))]);
    assert!(fitting(&pod("p", "foo", &of("Ignore")), &mut cluster).is_err());
    assert_eq!(fitting(&pod("p", "foo", &of("Honor")), &mut cluster).unwrap(), ["node1", "node2"]);
}

#[test]
fn fewer_domains_than_wanted_count_as_an_empty_one() {
    let mut cluster = cluster(&FOUR);
    place(&mut cluster, "foo", &json!({}), &["node1", "node1", "node3", "node3"]);
    let of = |domains: i32| constraints(&[spread(ZONE, &json!({ "maxSkew": 2, "minDomains": domains }))]);
    assert!(fitting(&pod("p", "foo", &of(3)), &mut cluster).is_err());
    assert_eq!(fitting(&pod("p", "foo", &of(2)), &mut cluster).unwrap().len(), 4);
}

#[test]
fn a_node_without_the_label_is_told_apart() {
    let mut cluster = cluster(&[("node1", "")]);
    let found = fitting(&pod("p", "foo", &constraints(&[spread(ZONE, &json!({}))])), &mut cluster);
    assert_eq!(
        found.unwrap_err(),
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
    );
}

#[test]
fn a_rollout_is_spread_by_itself() {
    let mut cluster = cluster(&FOUR);
    place(&mut cluster, "foo", &json!({}), &["node1", "node2", "node3"]);
    let rules = constraints(&[spread(ZONE, &json!({ "matchLabelKeys": ["revision"] }))]);
    let mut object = pod("p", "foo", &rules).object.as_ref().clone();
    object.metadata.labels.as_mut().unwrap().insert("revision".to_owned(), "2".to_owned());
    assert_eq!(fitting(&PodInfo::new(Arc::new(object)), &mut cluster).unwrap().len(), 4);
}

#[test]
fn soft_constraints_choose_among_the_nodes_that_fit() {
    let mut cluster = cluster(&FOUR);
    place(&mut cluster, "foo", &json!({}), &["node1", "node2", "node3"]);
    let soft = json!({ "whenUnsatisfiable": "ScheduleAnyway" });
    let rules = constraints(&[spread(ZONE, &soft), spread(HOSTNAME, &soft)]);
    let pod = pod("p", "foo", &rules);
    assert_eq!(fitting(&pod, &mut cluster).unwrap().len(), 4);
    assert_eq!(chosen(&pod, &mut cluster), "node4");
}

#[test]
fn pods_of_one_service_are_spread_by_default() {
    let mut cluster = cluster(&FOUR);
    place(&mut cluster, "foo", &json!({}), &["node1"]);
    // What makes node1 the best otherwise: the others are fuller.
    place(&mut cluster, "other", &json!({}), &["node2", "node2", "node3", "node3", "node4", "node4"]);
    let waiting = pod("p", "foo", &json!({}));
    assert_eq!(chosen(&waiting, &mut cluster), "node1");
    let selector = json!({ "matchLabels": { "app": "foo" } });
    let selector = crate::pod::parse_selector(&serde_json::from_value(selector).unwrap());
    cluster.selectors.set_service("default", "foo", selector);
    assert_eq!(chosen(&waiting, &mut cluster), "node3");
}

/// Required terms about an app.
fn required(which: &str, app: &str, key: &str) -> Value {
    let term = json!({ "labelSelector": { "matchLabels": { "app": app } }, "topologyKey": key });
    json!({ "affinity": { which: { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
}

#[test]
fn a_pod_goes_to_the_zone_of_those_it_wants() {
    let mut cluster = cluster(&FOUR);
    let near = pod("p", "web", &required("podAffinity", "cache", ZONE));
    let found = fitting(&near, &mut cluster).unwrap_err();
    assert_eq!(found, "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.");
    place(&mut cluster, "cache", &json!({}), &["node3"]);
    assert_eq!(fitting(&near, &mut cluster).unwrap(), ["node3", "node4"]);
}

#[test]
fn the_first_of_a_kind_that_likes_itself_goes_anywhere() {
    let mut cluster = cluster(&[("node1", "a"), ("node2", "")]);
    let rules = required("podAffinity", "web", ZONE);
    assert_eq!(fitting(&pod("p", "web", &rules), &mut cluster).unwrap(), ["node1"], "it needs the label");
}

#[test]
fn a_cache_on_each_of_three_nodes() {
    let mut cluster = cluster(&[("node1", "a"), ("node2", "a"), ("node3", "b")]);
    let apart = required("podAntiAffinity", "cache", HOSTNAME);
    for name in ["one", "two", "three"] {
        let cache = pod(name, "cache", &apart);
        let node = chosen(&cache, &mut cluster);
        cluster.set_pod(&cache, &node);
    }
    let fourth = fitting(&pod("four", "cache", &apart), &mut cluster).unwrap_err();
    assert_eq!(fourth, "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.");
    // Web servers, each beside a cache and apart from each other.
    let mut rules = required("podAntiAffinity", "web", HOSTNAME);
    rules["affinity"]["podAffinity"] =
        required("podAffinity", "cache", HOSTNAME)["affinity"]["podAffinity"].clone();
    assert_eq!(fitting(&pod("w", "web", &rules), &mut cluster).unwrap().len(), 3);
}

#[test]
fn placed_pods_keep_others_away() {
    let mut cluster = cluster(&FOUR);
    place(&mut cluster, "lonely", &required("podAntiAffinity", "web", ZONE), &["node1"]);
    assert_eq!(fitting(&pod("p", "web", &json!({})), &mut cluster).unwrap(), ["node3", "node4"]);
    place(&mut cluster, "lonely", &required("podAntiAffinity", "web", ZONE), &["node3"]);
    let found = fitting(&pod("p", "web", &json!({})), &mut cluster).unwrap_err();
    assert_eq!(found, "0/4 nodes are available: 4 node(s) didn't satisfy existing pods anti-affinity rules.");
}

#[test]
fn namespaces_are_chosen_by_their_labels() {
    let mut cluster = cluster(&FOUR);
    let namespace = |team: &str| json!({ "metadata": { "name": "default", "labels": { "team": team } } });
    place(&mut cluster, "cache", &json!({}), &["node1"]);
    let mut rules = required("podAffinity", "cache", HOSTNAME);
    let term = &mut rules["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    term["namespaceSelector"] = json!({ "matchLabels": { "team": "x" } });
    let mut object = pod("p", "web", &rules).object.as_ref().clone();
    object.metadata.namespace = Some("elsewhere".to_owned());
    let waiting = PodInfo::new(Arc::new(object));
    cluster.set_namespace(&serde_json::from_value(namespace("x")).unwrap());
    assert_eq!(fitting(&waiting, &mut cluster).unwrap(), ["node1"]);
    cluster.set_namespace(&serde_json::from_value(namespace("y")).unwrap());
    assert!(fitting(&waiting, &mut cluster).is_err());
}

#[rstest]
#[case::near("podAffinity", "node3")]
#[case::apart("podAntiAffinity", "node1")]
fn wishes_decide_among_the_nodes_that_fit(#[case] which: &str, #[case] expected: &str) {
    let mut cluster = cluster(&FOUR);
    place(&mut cluster, "cache", &json!({}), &["node3"]);
    place(&mut cluster, "other", &json!({}), &["node1", "node2", "node4"]);
    let term = json!({ "labelSelector": { "matchLabels": { "app": "cache" } }, "topologyKey": HOSTNAME });
    let wish = json!({ "weight": 100, "podAffinityTerm": term });
    let rules =
        json!({ "affinity": { which: { "preferredDuringSchedulingIgnoredDuringExecution": [wish] } } });
    assert_eq!(chosen(&pod("p", "web", &rules), &mut cluster), expected);
}
