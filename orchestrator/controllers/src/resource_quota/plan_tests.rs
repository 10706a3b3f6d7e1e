//! What quotas come to, case by case.

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use wherry_api::quota::Quota;

use super::plan::{Found, Objects, plan};

fn pods(pods: Vec<Value>) -> Found {
    Found { group: String::new(), plural: "pods".to_owned(), objects: Objects::Listed(pods) }
}

fn secrets(count: i64) -> Found {
    Found { group: String::new(), plural: "secrets".to_owned(), objects: Objects::Counted(count) }
}

fn pod(cpu: &str, phase: &str) -> Value {
    let container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
    json!({"spec": {"containers": [container]}, "status": {"phase": phase}})
}

fn status(spec: &Value, status: &Value, found: &[Found]) -> Option<Value> {
    let quota = Quota::of(&json!({"spec": spec, "status": status}));
    plan(&quota, found, Timestamp::UNIX_EPOCH).map(|status| serde_json::to_value(status).unwrap())
}

#[rstest]
#[case::a_new_quota_counts_what_is_there(
    json!({"hard": {"pods": "5", "cpu": "2", "count/pods": "9", "secrets": "3"}}), json!({}),
    json!({"pods": "1", "cpu": "500m", "count/pods": "2", "secrets": "4"})
)]
#[case::what_was_freed_is_given_back(
    json!({"hard": {"pods": "5"}}), json!({"hard": {"pods": "5"}, "used": {"pods": "3"}}), json!({"pods": "1"})
)]
#[case::what_is_limited_no_more_is_forgotten(
    json!({"hard": {"pods": "5"}}), json!({"hard": {"pods": "5", "cpu": "1"}, "used": {"pods": "1", "cpu": "500m"}}),
    json!({"pods": "1"})
)]
#[case::what_nobody_counts_stays(
    json!({"hard": {"count/widgets.example.com": "5"}}), json!({"used": {"count/widgets.example.com": "2"}}),
    json!({"count/widgets.example.com": "2"})
)]
#[case::a_scope_leaves_others_out(
    json!({"hard": {"pods": "5", "secrets": "1"}, "scopes": ["BestEffort"]}), json!({}),
    json!({"pods": "0", "secrets": "0"})
)]
fn quotas_come_to(#[case] spec: Value, #[case] before: Value, #[case] used: Value) {
    let found = [pods(vec![pod("500m", "Running"), pod("1", "Failed")]), secrets(4)];
    let expected = json!({"hard": spec["hard"], "used": used});
    assert_eq!(status(&spec, &before, &found), Some(expected.clone()));
    assert_eq!(status(&spec, &expected, &found), None);
}
