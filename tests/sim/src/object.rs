//! Short words for what is read of objects.

use serde_json::Value;

/// A word at a path of dots; empty if it is not there.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// A number at a path of dots; zero if it is not there.
pub(crate) fn number(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or_default()
}

/// What is at a path of dots; null if nothing is.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, name| &value[name])
}

/// `namespace/name`.
pub(crate) fn name(object: &Value) -> String {
    format!("{}/{}", text(object, "metadata.namespace"), text(object, "metadata.name"))
}

/// Its uid.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "metadata.uid")
}

/// Whether it is to go.
pub(crate) fn is_terminating(object: &Value) -> bool {
    !at(object, "metadata.deletionTimestamp").is_null()
}

/// Whether a Pod has run to its end.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "status.phase"), "Succeeded" | "Failed")
}

/// Whether a Pod counts as one of its controller's replicas.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_terminating(pod) && !is_finished(pod)
}

/// Whether a condition is true.
pub(crate) fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = at(object, "status.conditions").as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == condition && c["status"] == "True")
}

/// The uid of the owner that manages it; empty without one.
pub(crate) fn controller(object: &Value) -> &str {
    let owners = at(object, "metadata.ownerReferences").as_array();
    let manager = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
    manager.map_or("", |owner| text(owner, "uid"))
}
