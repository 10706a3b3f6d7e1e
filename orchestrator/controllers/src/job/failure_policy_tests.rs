//! Tests of failure policies, with the messages that users read.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn pod(containers: &[(&str, Option<i32>)], init: &[(&str, Option<i32>)], conditions: &Value) -> Pod {
    let statuses = |list: &[(&str, Option<i32>)]| -> Vec<Value> {
        let state = |code: &Option<i32>| code.map(|code| json!({ "terminated": { "exitCode": code } }));
        let status = |(name, code): &(&str, Option<i32>)| {
            json!({ "name": name, "state": state(code).unwrap_or(json!({ "running": {} })), "image": "i",
                    "imageID": "i", "ready": false, "restartCount": 0 })
        };
        list.iter().map(status).collect()
    };
    let object = json!({
        "metadata": { "name": "p", "namespace": "ns" },
        "status": {
            "phase": "Failed", "conditions": conditions,
            "containerStatuses": statuses(containers), "initContainerStatuses": statuses(init),
        },
    });
    serde_json::from_value(object).unwrap()
}

fn rule(action: &str, on: &Value) -> Value {
    let mut rule = json!({ "action": action });
    rule.as_object_mut().unwrap().extend(on.as_object().unwrap().clone());
    rule
}

fn codes(operator: &str, values: &[i32]) -> Value {
    json!({ "onExitCodes": { "operator": operator, "values": values } })
}

fn judged(rules: &[Value], pod: &Pod) -> Judgement {
    let policy: PodFailurePolicy = serde_json::from_value(json!({ "rules": rules })).unwrap();
    judge(Some(&policy), pod)
}

#[rstest]
#[case::one_of(codes("In", &[3, 42]), Some(42))]
#[case::another_than(codes("NotIn", &[1]), Some(42))]
#[case::not_one_of(codes("In", &[1]), None)]
#[case::not_another_than(codes("NotIn", &[42, 7]), None)]
#[case::success_is_no_failure(codes("NotIn", &[42, 1]), Some(7))]
#[case::its_container(json!({ "onExitCodes": { "containerName": "a", "operator": "In", "values": [42] } }), Some(42))]
#[case::another_container(json!({ "onExitCodes": { "containerName": "b", "operator": "In", "values": [42] } }), None)]
fn exit_codes(#[case] on: Value, #[case] matched: Option<i32>) {
    let pod = pod(&[("z", Some(0)), ("a", Some(42)), ("running", None)], &[("init", Some(7))], &json!([]));
    let name = if matched == Some(7) { "init" } else { "a" };
    let message = matched.map(|code| {
        format!("Container {name} for pod ns/p failed with exit code {code} matching FailJob rule at index 0")
    });
    assert_eq!(judged(&[rule("FailJob", &on)], &pod), message.map_or(Judgement::Count, Judgement::FailJob));
}

#[rstest]
#[case("DisruptionTarget", "True", true)]
#[case("DisruptionTarget", "False", false)]
#[case("Ready", "True", false)]
fn conditions(#[case] type_: &str, #[case] status: &str, #[case] matches: bool) {
    let pod = pod(&[], &[], &json!([{ "type": type_, "status": status }]));
    let on = json!({ "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] });
    let message = "Pod ns/p has condition DisruptionTarget matching FailJob rule at index 1".to_owned();
    let rules = [rule("Ignore", &codes("In", &[1])), rule("FailJob", &on)];
    let wanted = if matches { Judgement::FailJob(message) } else { Judgement::Count };
    assert_eq!(judged(&rules, &pod), wanted);
}

#[rstest]
#[case("Ignore", Judgement::Ignore, false)]
#[case("Count", Judgement::Count, true)]
#[case("FailIndex", Judgement::FailIndex, true)]
fn the_first_rule_that_matches_decides(
    #[case] action: &str,
    #[case] wanted: Judgement,
    #[case] counts: bool,
) {
    let pod = pod(&[("a", Some(42))], &[], &json!([]));
    let rules = [
        rule("FailJob", &codes("In", &[1])),
        rule(action, &codes("In", &[42])),
        rule("FailJob", &codes("NotIn", &[1])),
    ];
    let judgement = judged(&rules, &pod);
    assert_eq!((judgement.counts(), judgement), (counts, wanted));
    assert_eq!(judge(None, &pod), Judgement::Count);
}
