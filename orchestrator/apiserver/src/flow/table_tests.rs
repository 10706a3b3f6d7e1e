//! Tests of the table of flow control.

use serde_json::{Value, json};

use super::super::objects;
use super::*;

fn objects(schemas: &Value, levels: &Value) -> Objects {
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    Objects {
        schemas: schemas.as_array().unwrap().iter().map(read).collect(),
        levels: levels
            .as_array()
            .unwrap()
            .iter()
            .map(|l| serde_json::from_value(l.clone()).unwrap())
            .collect(),
    }
}

fn schema(name: &str, precedence: i32, level: &str, rules: &Value) -> Value {
    json!({"metadata": {"name": name, "uid": name}, "spec": {
        "matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level}, "rules": rules,
        "distinguisherMethod": {"type": "ByUser"},
    }})
}

fn limited(name: &str, shares: i32) -> Value {
    let queuing = json!({"queues": 8, "handSize": 2, "queueLengthLimit": 5});
    json!({"metadata": {"name": name, "uid": name}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "limitResponse": {"type": "Queue", "queuing": queuing},
    }}})
}

fn pods<'a>(user: &'a str, verb: &'a str, subresource: &'a str, namespace: Option<&'a str>) -> Asked<'a> {
    let subject = Subject::Resource { group: "", resource: "pods", subresource, namespace };
    Asked { user, groups: &[], verb, subject }
}

fn table() -> Table {
    let group = |name: &str| json!([{"kind": "Group", "group": {"name": name}}]);
    let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}]);
    let schemas = json!([
        schema("late", 9000, "low", &json!([{"subjects": group("*"), "resourceRules": all}])),
        schema(
            "accounts",
            100,
            "high",
            &json!([{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "*"}}],
                "resourceRules": [
                    {"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"], "namespaces": ["ns"]},
                ],
            }])
        ),
        schema(
            "probes",
            2,
            "high",
            &json!([{
                "subjects": group("system:unauthenticated"),
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/livez", "/healthz/*"]}],
            }])
        ),
        schema("lost", 1, "no-such-level", &json!([{"subjects": group("*"), "resourceRules": all}])),
    ]);
    Table::build(&objects(&schemas, &json!([limited("high", 30), limited("low", 10)])), 100, None)
}

#[test]
fn the_schema_of_lowest_precedence_that_matches_and_has_a_level_counts() {
    let table = table();
    let name = |asked: &Asked<'_>| table.find(asked).name.clone();
    let account = "system:serviceaccount:ns:robot";
    assert_eq!(name(&pods(account, "get", "", Some("ns"))), "accounts");
    assert_eq!(name(&pods(account, "get", "log", Some("ns"))), "accounts");
    assert_eq!(name(&pods(account, "get", "exec", Some("ns"))), "late");
    assert_eq!(name(&pods(account, "list", "", Some("ns"))), "late");
    assert_eq!(name(&pods(account, "get", "", Some("other"))), "late");
    assert_eq!(name(&pods(account, "get", "", None)), "late");
    assert_eq!(name(&pods("robot", "get", "", Some("ns"))), "late");
}

#[test]
fn paths_are_matched_by_prefix_and_the_rest_is_caught() {
    let table = table();
    let ask = |path| {
        let subject = Subject::Path(path);
        table
            .find(&Asked { user: "", groups: &["system:unauthenticated".to_owned()], verb: "get", subject })
            .name
            .clone()
    };
    assert_eq!(ask("/livez"), "probes");
    assert_eq!(ask("/healthz/ping"), "probes");
    assert_eq!(ask("/livez/ping"), "catch-all");
    assert_eq!(ask("/version"), "catch-all");
}

#[test]
fn seats_are_shared_out_and_flows_are_told_apart_by_user() {
    let table = table();
    assert_eq!(table.levels["high"].load()[2], 75);
    assert_eq!(table.levels["low"].load()[2], 25);
    let [one, other] = ["a", "b"].map(|user| pods(user, "get", "", None));
    let schema = table.find(&one);
    assert_eq!(schema.flow(&one), schema.flow(&pods("a", "list", "", None)));
    assert_ne!(schema.flow(&one), schema.flow(&other));
}

#[test]
fn a_new_table_goes_on_with_the_levels_of_the_old_one() {
    let old = table();
    let change = objects(&json!([]), &json!([limited("high", 10), limited("low", 10)]));
    let new = Table::build(&change, 100, Some(&old));
    assert!(Arc::ptr_eq(&old.levels["high"], &new.levels["high"]));
    assert_eq!(old.levels["high"].load()[2], 50);
}

#[test]
fn every_field_of_the_objects_may_be_missing() {
    let empty = json!({"metadata": {"name": "n"}, "spec": {}});
    let objects: objects::Object<SchemaSpec> = serde_json::from_value(empty).unwrap();
    assert_eq!(objects.spec.rules.len(), 0);
}
