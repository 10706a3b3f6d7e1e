//! Where a Pod may run: affinity, tolerations, spreading.

use wherry_api::names;
use wherry_schema::Value;

use super::super::template::check_label_selector;
use super::super::{Errors, Path};
use crate::object::Fields;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The rules of everything that tells the scheduler where.
pub(super) fn check(spec: &Value, path: &Path, errors: &mut Errors) {
    check_tolerations(spec.items("tolerations"), &path.child("tolerations"), errors);
    let affinity = path.child("affinity");
    if let Some(node) = spec.field("affinity.nodeAffinity") {
        check_node(node, &affinity.child("nodeAffinity"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        if let Some(pods) = spec.field("affinity").and_then(|a| a.field(kind)) {
            check_pods(pods, &affinity.child(kind), errors);
        }
    }
    for (index, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        check_spread(constraint, &path.child("topologySpreadConstraints").index(index), errors);
    }
}

/// The rules of tolerations.
pub(crate) fn check_tolerations(tolerations: &[Value], path: &Path, errors: &mut Errors) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = path.index(index);
        let (key, operator, value) =
            (toleration.text("key"), toleration.text("operator"), toleration.text("value"));
        if !key.is_empty() {
            if let Err(reason) = names::label_key(key) {
                errors.invalid(&path.child("key"), key, &reason);
            }
        } else if operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&path.child("operator"), operator, detail);
        }
        let effect = toleration.text("effect");
        if toleration.has("tolerationSeconds") && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect, detail);
        }
        match operator {
            "Equal" | "" => {
                if let Err(reason) = names::label_value(value) {
                    errors.invalid(&path.child("operator"), value, &reason);
                }
            }
            "Exists" if !value.is_empty() => {
                errors.invalid(
                    &path.child("operator"),
                    value,
                    "value must be empty when `operator` is 'Exists'",
                );
            }
            "Exists" => {}
            other => errors.unsupported(&path.child("operator"), other, &["Equal", "Exists"]),
        }
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.unsupported(&path.child("effect"), effect, &supported);
        }
    }
}

fn check_node(node: &Value, path: &Path, errors: &mut Errors) {
    if let Some(required) = node.field(REQUIRED) {
        let path = path.child(REQUIRED).child("nodeSelectorTerms");
        let terms = required.items("nodeSelectorTerms");
        if terms.is_empty() {
            errors.required(&path, "must have at least one node selector term");
        }
        for (index, term) in terms.iter().enumerate() {
            check_term(term, &path.index(index), errors);
        }
    }
    for (index, preferred) in node.items(PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        check_weight(preferred, &path, errors);
        if let Some(term) = preferred.field("preference") {
            check_term(term, &path.child("preference"), errors);
        }
    }
}

fn check_weight(preferred: &Value, path: &Path, errors: &mut Errors) {
    let weight = preferred.int("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

fn check_term(term: &Value, path: &Path, errors: &mut Errors) {
    for (index, expression) in term.items("matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = expression.items("values");
        match expression.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors
                    .required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
            "Gt" | "Lt" if values.len() != 1 => {
                let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.required(&path.child("values"), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        if let Err(reason) = names::label_key(expression.text("key")) {
            errors.invalid(&path.child("key"), expression.text("key"), &reason);
        }
    }
}

fn check_pods(pods: &Value, path: &Path, errors: &mut Errors) {
    for (index, term) in pods.items(REQUIRED).iter().enumerate() {
        check_pod_term(term, &path.child(REQUIRED).index(index), errors);
    }
    for (index, preferred) in pods.items(PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        check_weight(preferred, &path, errors);
        if let Some(term) = preferred.field("podAffinityTerm") {
            check_pod_term(term, &path.child("podAffinityTerm"), errors);
        }
    }
}

fn check_pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    if let Some(selector) = term.field("labelSelector") {
        check_label_selector(selector, &path.child("labelSelector"), errors);
    }
    for namespace in term.items("namespaces").iter().filter_map(Value::as_str) {
        if let Err(reason) = names::dns1123_label(namespace) {
            errors.invalid(&path.child("namespace"), namespace, &reason);
        }
    }
    check_topology_key(term, path, errors);
}

fn check_topology_key(object: &Value, path: &Path, errors: &mut Errors) {
    let key = object.text("topologyKey");
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    if let Err(reason) = names::label_key(key) {
        errors.invalid(&path.child("topologyKey"), key, &reason);
    }
}

fn check_spread(constraint: &Value, path: &Path, errors: &mut Errors) {
    let skew = constraint.int("maxSkew").unwrap_or(0);
    if skew <= 0 {
        errors.invalid(&path.child("maxSkew"), skew, "must be greater than zero");
    }
    if constraint.text("topologyKey").is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    let action = constraint.text("whenUnsatisfiable");
    if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        errors.unsupported(&path.child("whenUnsatisfiable"), action, &supported);
    }
    match constraint.field("labelSelector") {
        Some(selector) => check_label_selector(selector, &path.child("labelSelector"), errors),
        None if !constraint.items("matchLabelKeys").is_empty() => {
            let detail = "must not be specified when labelSelector is not set";
            errors.forbidden(&path.child("matchLabelKeys"), detail);
        }
        None => {}
    }
}
