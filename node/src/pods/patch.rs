//! The smallest patch that brings the API's status of a pod to what the node reports.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

use super::conditions::{RESIZE_IN_PROGRESS, RESIZE_PENDING};

/// The fields of the status that are the node's. Others are left to whoever writes them.
const OWNED: [&str; 16] = [
    "phase",
    "conditions",
    "message",
    "reason",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "qosClass",
    "observedGeneration",
    "resources",
    "allocatedResources",
];

/// The node's conditions that go when there is nothing more to say.
const PASSING: [&str; 2] = [RESIZE_PENDING, RESIZE_IN_PROGRESS];

/// A strategic merge patch from one status to the other, bound to the pod's uid; `None` if nothing differs.
pub(super) fn between(uid: &str, from: &PodStatus, to: &PodStatus) -> Option<Value> {
    let (from, to) = (fields(from), fields(to));
    let mut status = Map::new();
    for name in OWNED {
        let (before, after) = (from.get(name), to.get(name));
        if before == after {
            continue;
        }
        let value = match (name, after) {
            ("conditions", Some(after)) => conditions(before, after),
            (_, Some(after)) => Some(after.clone()),
            (_, None) => Some(Value::Null),
        };
        if let Some(value) = value {
            status.insert(name.to_owned(), value);
        }
    }
    (!status.is_empty()).then(|| json!({ "metadata": { "uid": uid }, "status": status }))
}

fn fields(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// The conditions that differ; they merge by type, so what a condition no longer says is said to be null.
fn conditions(before: Option<&Value>, after: &Value) -> Option<Value> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let before = list(before);
    let mut changed = Vec::new();
    for mut condition in list(Some(after)) {
        let old = before.iter().find(|old| old["type"] == condition["type"]);
        if old == Some(&condition) {
            continue;
        }
        if let (Some(Value::Object(old)), Value::Object(new)) = (old, &mut condition) {
            for name in old.keys() {
                new.entry(name.clone()).or_insert(Value::Null);
            }
        }
        changed.push(condition);
    }
    let is_over = |old: &&Value| {
        PASSING.iter().any(|type_| old["type"] == *type_)
            && !list(Some(after)).iter().any(|new| new["type"] == old["type"])
    };
    changed
        .extend(before.iter().filter(is_over).map(|old| json!({ "$patch": "delete", "type": old["type"] })));
    (!changed.is_empty()).then_some(Value::Array(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_differs_is_sent_and_what_others_wrote_stays() {
        let from = status(json!({
            "phase": "Pending", "nominatedNodeName": "n", "reason": "Old",
            "conditions": [
                { "type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m" },
                { "type": "example.com/gate", "status": "True" },
                { "type": "PodScheduled", "status": "True" },
            ],
        }));
        let to = status(json!({
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True" }, { "type": "PodScheduled", "status": "True" }],
        }));
        let patch = between("u-1", &from, &to).unwrap();
        let ready = json!({ "type": "Ready", "status": "True", "reason": null, "message": null });
        let expected = json!({
            "metadata": { "uid": "u-1" },
            "status": { "phase": "Running", "reason": null, "conditions": [ready] },
        });
        assert_eq!(patch, expected);
        assert_eq!(between("u-1", &to, &to), None);
    }

    #[test]
    fn a_resize_that_is_over_is_no_longer_spoken_of() {
        let from = status(json!({ "conditions": [{ "type": RESIZE_PENDING, "status": "True" }] }));
        let patch = between("u-1", &from, &status(json!({ "conditions": [] }))).unwrap();
        let gone = json!([{ "$patch": "delete", "type": RESIZE_PENDING }]);
        assert_eq!(patch["status"]["conditions"], gone);
    }

    #[test]
    fn a_condition_of_somebody_else_is_no_difference() {
        let from = status(json!({ "conditions": [{ "type": "example.com/gate", "status": "True" }] }));
        assert_eq!(between("u-1", &from, &status(json!({ "conditions": [] }))), None);
    }
}
