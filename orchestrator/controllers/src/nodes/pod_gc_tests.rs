//! Tests of which Pods are collected.

use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pod(name: &str, node: &str, phase: &str, age: i64) -> Arc<Pod> {
    let object = json!({
        "metadata": { "name": name, "creationTimestamp": at(1000 - age).to_string() },
        "spec": { "nodeName": node, "containers": [] },
        "status": { "phase": phase },
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter().map(|pod| pod.name_any()).collect()
}

#[test]
fn the_oldest_of_too_many_terminated_pods_go() {
    let nodes = HashSet::from(["n".to_owned()]);
    let pods = [
        pod("young", "n", "Succeeded", 1),
        pod("old", "n", "Failed", 9),
        pod("older", "n", "Succeeded", 10),
        pod("runs", "n", "Running", 99),
    ];
    let planned = |threshold| plan(&pods, &nodes, &mut BTreeMap::new(), threshold, at(1000));
    assert_eq!(names(&planned(1).delete), ["older", "old"]);
    assert!(planned(3).delete.is_empty());
}

#[test]
fn a_pod_deleted_before_it_had_a_node_goes() {
    let mut going = (*pod("p", "", "Pending", 1)).clone();
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let pods = [Arc::new(going), pod("waits", "", "Pending", 1)];
    assert_eq!(names(&plan(&pods, &HashSet::new(), &mut BTreeMap::new(), 9, at(1000)).delete), ["p"]);
}

#[test]
fn pods_of_a_node_that_stays_away_are_lost() {
    let mut missing = BTreeMap::new();
    let pods = [pod("p", "gone", "Running", 1)];
    let first = plan(&pods, &HashSet::new(), &mut missing, 9, at(1000));
    assert!(first.lost.is_empty());
    assert_eq!(first.look_again, Some(Duration::from_secs(40)));
    let nodes = HashSet::from(["gone".to_owned()]);
    plan(&pods, &nodes, &mut missing, 9, at(1030));
    let again = plan(&pods, &HashSet::new(), &mut missing, 9, at(1039));
    assert!(again.lost.is_empty(), "the node was back in between");
    let last = plan(&pods, &HashSet::new(), &mut missing, 9, at(1079));
    assert_eq!(names(&last.lost["gone"]), ["p"]);
}
