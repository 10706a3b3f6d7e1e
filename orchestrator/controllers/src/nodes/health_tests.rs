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
    assert_eq!(health, Health { conditions: None, look_again: Some(Duration::from_secs(30)) });
    assert_eq!(tainted(&node("True", &json!([])), Drive::Away, at(110)), None);
}

#[test]
fn a_silent_node_becomes_unknown_and_unreachable() {
    let health = judge(&node("True", &json!([])), at(100), GRACE, at(140));
    let conditions = health.conditions.unwrap();
    assert!(conditions.iter().all(|condition| condition.status == "Unknown"));
    assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
    assert_eq!(conditions[0].message.as_deref(), Some("Kubelet stopped posting node status."));
    assert_eq!(conditions.len(), 4, "what was never told is unknown as well");
    assert_eq!(health.look_again, None);
}

#[test]
fn what_is_written_once_is_not_written_again() {
    let mut node = node("True", &json!([]));
    let health = judge(&node, at(100), GRACE, at(140));
    node.status.as_mut().unwrap().conditions = health.conditions;
    let expected = ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];
    let taints = tainted(&node, Drive::Away, at(140)).unwrap();
    assert_eq!(keys(&taints), expected);
    node.spec.as_mut().unwrap().taints = Some(taints);
    assert_eq!(judge(&node, at(100), GRACE, at(500)), Health { conditions: None, look_again: None });
    for drive in [Drive::Away, Drive::Hold] {
        assert_eq!(tainted(&node, drive, at(500)), None);
    }
}

#[test]
fn a_node_that_never_said_anything_has_a_minute() {
    let mut node = node("True", &json!([]));
    node.status = None;
    assert_eq!(judge(&node, at(100), GRACE, at(159)).conditions, None);
    assert_eq!(judge(&node, at(100), GRACE, at(160)).conditions.unwrap().len(), 4);
}

#[test]
fn pods_are_driven_away_only_when_it_is_time() {
    let ready = "node.kubernetes.io/not-ready";
    let taints = tainted(&node("False", &json!([])), Drive::Hold, at(101)).unwrap();
    assert_eq!(keys(&taints), [format!("{ready}:NoSchedule")]);
    let both = json!([{ "key": ready, "effect": "NoSchedule" }, { "key": ready, "effect": "NoExecute" }]);
    let silent = tainted(&node("Unknown", &both), Drive::Hold, at(101)).unwrap();
    let swapped = ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];
    assert_eq!(keys(&silent), swapped);
    let stays = tainted(&node("False", &both), Drive::Stay, at(101)).unwrap();
    assert_eq!(keys(&stays), [format!("{ready}:NoSchedule")]);
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
    assert_eq!(keys(&tainted(&node(ready, &before), Drive::Away, at(101)).unwrap()), expected);
}

#[test]
fn a_cordoned_node_under_pressure() {
    let mut node = node("True", &json!([]));
    node.spec.as_mut().unwrap().unschedulable = Some(true);
    node.status.as_mut().unwrap().conditions.as_mut().unwrap()[1].status = "True".into();
    let expected =
        ["node.kubernetes.io/memory-pressure:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"];
    assert_eq!(keys(&tainted(&node, Drive::Hold, at(101)).unwrap()), expected);
}
