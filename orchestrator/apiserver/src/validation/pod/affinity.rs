//! Where a Pod may run, by the node and by the Pods that run there.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::template::check_label_selector;
use crate::validation::{Errors, Path, names};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The rules of `affinity`.
pub(super) fn check(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(affinity) = spec.field("affinity") else { return };
    if let Some(node) = affinity.field("nodeAffinity") {
        check_node(node, &path.child("nodeAffinity"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        if let Some(pods) = affinity.field(kind) {
            check_pods(pods, &path.child(kind), errors);
        }
    }
}

fn check_weight(term: &Value, path: &Path, errors: &mut Errors) {
    let weight = term.int("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

fn check_node(affinity: &Value, path: &Path, errors: &mut Errors) {
    if let Some(selector) = affinity.field(REQUIRED) {
        check_node_selector(selector, &path.child(REQUIRED), errors);
    }
    for (index, term) in affinity.items(PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        check_weight(term, &path, errors);
        if let Some(preference) = term.field("preference") {
            check_node_term(preference, Values::Any, &path.child("preference"), errors);
        }
    }
}

/// The rules of a selector of nodes.
pub(crate) fn check_node_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    let (terms, path) = (selector.items("nodeSelectorTerms"), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        check_node_term(term, Values::OfLabels, &path.index(index), errors);
    }
}

/// What a node's label is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// What labels can be.
    OfLabels,
    /// Anything: a preference that no node can meet harms nobody.
    Any,
}

fn check_node_term(term: &Value, values: Values, path: &Path, errors: &mut Errors) {
    for (index, requirement) in term.items("matchExpressions").iter().enumerate() {
        check_requirement(requirement, values, &path.child("matchExpressions").index(index), errors);
    }
    for (index, requirement) in term.items("matchFields").iter().enumerate() {
        check_field_requirement(requirement, &path.child("matchFields").index(index), errors);
    }
}

fn check_requirement(requirement: &Value, compared: Values, path: &Path, errors: &mut Errors) {
    let (values, at) = (requirement.items("values"), path.child("values"));
    match requirement.text("operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                errors.required(&at, "must be specified when `operator` is 'In' or 'NotIn'");
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                errors.forbidden(&at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
        }
        "Gt" | "Lt" => {
            if values.len() != 1 {
                errors.required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
        }
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = requirement.text("key");
    errors.problems(&path.child("key"), key, names::qualified(key));
    for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
        if compared == Values::OfLabels {
            errors.problems(&at.index(index), value, names::label_value(value));
        }
    }
}

fn check_field_requirement(requirement: &Value, path: &Path, errors: &mut Errors) {
    let values = requirement.items("values");
    match requirement.text("operator") {
        "In" | "NotIn" => {
            if values.len() != 1 {
                let detail =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.required(&path.child("values"), detail);
            }
        }
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = requirement.text("key");
    if key != "metadata.name" {
        errors.invalid(&path.child("key"), key, "not a valid field selector key");
        return;
    }
    for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
        errors.problems(&path.child("values").index(index), value, names::subdomain(value));
    }
}

fn check_pods(affinity: &Value, path: &Path, errors: &mut Errors) {
    for (index, term) in affinity.items(REQUIRED).iter().enumerate() {
        check_term(term, &path.child(REQUIRED).index(index), errors);
    }
    for (index, term) in affinity.items(PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        check_weight(term, &path, errors);
        if let Some(term) = term.field("podAffinityTerm") {
            check_term(term, &path.child("podAffinityTerm"), errors);
        }
    }
}

fn check_term(term: &Value, path: &Path, errors: &mut Errors) {
    for field in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = term.field(field) {
            check_label_selector(selector, &path.child(field), errors);
        }
    }
    for namespace in term.items("namespaces").iter().filter_map(Value::as_str) {
        errors.problems(&path.child("namespace"), namespace, names::label(namespace));
    }
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        check_label_keys(term, field, path, errors);
    }
    check_merged(term, path, errors);
    let mismatched = term.items("mismatchLabelKeys");
    for (index, key) in
        term.items("matchLabelKeys").iter().enumerate().filter(|(_, k)| mismatched.contains(k))
    {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.invalid(&path.child("matchLabelKeys").index(index), key, detail);
    }
    let key = term.text("topologyKey");
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    errors.problems(&path.child("topologyKey"), key, names::qualified(key));
}

/// Refuses keys that the selector names besides what was made of them when the Pod was created.
pub(super) fn check_merged(term: &Value, path: &Path, errors: &mut Errors) {
    let keys: Vec<&str> = term.items("matchLabelKeys").iter().filter_map(Value::as_str).collect();
    let Some(selector) = term.field("labelSelector") else { return };
    let labels = selector.map("matchLabels").into_iter().flat_map(wherry_schema::Object::keys);
    let mut named: Vec<&str> = labels.map(wherry_schema::Str::as_str).collect();
    for expression in selector.items("matchExpressions") {
        let key = expression.text("key");
        if let Some(index) = keys.iter().rposition(|other| *other == key)
            && named.contains(&key)
        {
            errors.invalid(&path.index(index), key, "exists in both matchLabelKeys and labelSelector");
        }
        named.push(key);
    }
}

/// The rules of keys whose values are taken from the Pod's own labels.
pub(super) fn check_label_keys(term: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let keys = term.items(field);
    let path = path.child(field);
    if keys.is_empty() {
        return;
    }
    if !term.has("labelSelector") {
        errors.forbidden(&path, "must not be specified when labelSelector is not set");
        return;
    }
    for (index, key) in keys.iter().filter_map(Value::as_str).enumerate() {
        errors.problems(&path.index(index), key, names::qualified(key));
    }
}
