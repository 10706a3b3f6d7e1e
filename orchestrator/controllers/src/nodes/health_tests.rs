//! Tests of what silence and conditions do to a node.

use rstest::rstest;
use serde_json::json;

use super::*;

const GRACE: Duration = Duration::from_secs(40);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn node(ready: &str, taints: &serde_json::Value) -> Node {
    let object = json!({
        "metadata": { "name": "n" },
        "spec": { "taints": taints },
        "status": { "conditions": [
            { "type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:00Z" },
            { "type": "MemoryPressure", "status": "False" },
        ] },
    });
    serde_json::from_value(object).unwrap()
}

fn keys(taints: &[Taint]) -> Vec<String> {
    taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
}

#[test]
fn a_node_that_is_heard_of_is_left_alone() {
    let health = judge(&node("True", &json!([])), at(100), GRACE, at(110));
    assert_eq!(health, Health { conditions: None, taints: None, look_again: Some(Duration::from_secs(30)) });
}

#[test]
fn a_silent_node_becomes_unknown_and_unreachable() {
    let health = judge(&node("True", &json!([])), at(100), GRACE, at(140));
    let conditions = health.conditions.unwrap();
    assert!(conditions.iter().all(|condition| condition.status == "Unknown"));
    assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
    assert_eq!(conditions[0].message.as_deref(), Some("Kubelet stopped posting node status."));
    assert_eq!(conditions.len(), 4, "what was never told is unknown as well");
    let expected = ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];
    assert_eq!(keys(&health.taints.unwrap()), expected);
    assert_eq!(health.look_again, None);
}

#[test]
fn what_is_written_once_is_not_written_again() {
    let mut node = node("True", &json!([]));
    let health = judge(&node, at(100), GRACE, at(140));
    node.status.as_mut().unwrap().conditions = health.conditions;
    node.spec.as_mut().unwrap().taints = health.taints;
    assert_eq!(
        judge(&node, at(100), GRACE, at(500)),
        Health { conditions: None, taints: None, look_again: None }
    );
}

#[rstest]
#[case::not_ready("False", json!([]), &["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"])]
#[case::back_again(
    "True",
    json!([{ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" }, { "key": "mine", "effect": "NoExecute" }]),
    &["mine:NoExecute"]
)]
fn taints_follow_readiness(
    #[case] ready: &str,
    #[case] before: serde_json::Value,
    #[case] expected: &[&str],
) {
    let health = judge(&node(ready, &before), at(100), GRACE, at(101));
    assert_eq!(keys(&health.taints.unwrap()), expected);
}

#[test]
fn a_cordoned_node_under_pressure() {
    let mut node = node("True", &json!([]));
    node.spec.as_mut().unwrap().unschedulable = Some(true);
    node.status.as_mut().unwrap().conditions.as_mut().unwrap()[1].status = "True".into();
    let health = judge(&node, at(100), GRACE, at(101));
    let expected =
        ["node.kubernetes.io/memory-pressure:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"];
    assert_eq!(keys(&health.taints.unwrap()), expected);
}
