//! Rules of the questions about what somebody may do.

use wherry_schema::{Object, Value};

use super::{Errors, Path, Shown, internal, names};
use crate::object::{self, Fields};

const OWNERS: &str = "metadata.managedFields";

/// The fields of metadata in the order in which errors show them.
const METADATA: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// The rules of a SubjectAccessReview.
pub(crate) fn check_subject(review: &Value, errors: &mut Errors) {
    check_attributes(review, errors);
    check_user(review, errors);
    check_selectors(review, errors);
    check_metadata(review, &[], "must be empty", errors);
}

/// The rules of a SelfSubjectAccessReview.
pub(crate) fn check_self(review: &Value, errors: &mut Errors) {
    check_attributes(review, errors);
    check_selectors(review, errors);
    check_metadata(review, &[], "must be empty", errors);
}

/// The rules of a LocalSubjectAccessReview, which is about one namespace.
pub(crate) fn check_local(review: &Value, errors: &mut Errors) {
    check_attributes(review, errors);
    check_user(review, errors);
    check_selectors(review, errors);
    check_metadata(review, &["namespace"], "must be empty except for namespace", errors);
    let namespace = review.text("spec.resourceAttributes.namespace");
    if review.has("spec.resourceAttributes") && namespace != object::namespace(review) {
        let path = Path::new("spec.resourceAttributes.namespace");
        errors.invalid(&path, namespace, "must match metadata.namespace");
    }
    if let Some(path) = review.field("spec.nonResourceAttributes") {
        let shown = internal::show("NonResourceAttributes", Some(path));
        errors.invalid(&Path::new("spec.nonResourceAttributes"), shown, "disallowed on this kind of request");
    }
}

fn check_attributes(review: &Value, errors: &mut Errors) {
    let path = review.field("spec.nonResourceAttributes");
    match (path, review.has("spec.resourceAttributes")) {
        (Some(path), true) => errors.invalid(
            &Path::new("spec.nonResourceAttributes"),
            internal::show("NonResourceAttributes", Some(path)),
            "cannot be specified in combination with resourceAttributes",
        ),
        (None, false) => errors.invalid(
            &Path::new("spec.resourceAttributes"),
            Shown::raw("null"),
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        _ => {}
    }
}

fn check_user(review: &Value, errors: &mut Errors) {
    if review.text("spec.user").is_empty() && review.items("spec.groups").is_empty() {
        errors.invalid(&Path::new("spec.user"), "", "at least one of user or group must be specified");
    }
}

fn check_metadata(review: &Value, except: &[&str], detail: &str, errors: &mut Errors) {
    let Some(metadata) = review.map("metadata") else { return };
    let said = |name: &&str| metadata.get(name).is_some_and(says_something);
    let (owned, rest) = METADATA.split_last().expect("metadata has fields");
    if !rest.iter().any(|name| said(name) && !except.contains(name)) {
        return;
    }
    let mut fields: Vec<String> = rest.iter().filter(|name| said(name)).map(|n| pair(metadata, n)).collect();
    let owners: Vec<String> = review.items(OWNERS).iter().filter_map(Value::as_object).map(owner).collect();
    if !owners.is_empty() {
        fields.push(format!("{owned:?}:[{}]", owners.join(",")));
    }
    errors.invalid(&Path::new("metadata"), Shown::raw(format!("{{{}}}", fields.join(","))), detail);
}

/// A field as JSON.
fn pair(fields: &Object, name: &str) -> String {
    format!("{name:?}:{}", Shown::from(fields.get(name).unwrap_or(&Value::Null)))
}

fn owner(entry: &Object) -> String {
    let names = ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"];
    let fields: Vec<String> =
        names.iter().filter(|name| entry.contains(name)).map(|n| pair(entry, n)).collect();
    format!("{{{}}}", fields.join(","))
}

/// What is empty is as good as missing.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        other => other.as_i64() != Some(0),
    }
}

fn check_selectors(review: &Value, errors: &mut Errors) {
    let attributes = Path::new("spec.resourceAttributes");
    for (name, labels) in [("fieldSelector", false), ("labelSelector", true)] {
        if let Some(selector) = review.field("spec.resourceAttributes").and_then(|a| a.field(name)) {
            check_selector(selector, &attributes.child(name), labels, errors);
        }
    }
}

fn check_selector(selector: &Value, path: &Path, labels: bool, errors: &mut Errors) {
    let (raw, requirements) = (selector.text("rawSelector"), selector.items("requirements"));
    match (raw.is_empty(), requirements.is_empty()) {
        (false, false) => errors.invalid(
            &path.child("rawSelector"),
            raw,
            "may not specified at the same time as requirements",
        ),
        (true, true) => errors.required(
            &path.child("requirements"),
            &format!("when {path} is specified, requirements or rawSelector is required"),
        ),
        _ => {}
    }
    for (index, requirement) in requirements.iter().enumerate() {
        check_requirement(requirement, &path.child("requirements").index(index), labels, errors);
    }
}

/// Operators that this server does not know are those of newer clients.
fn check_requirement(requirement: &Value, path: &Path, labels: bool, errors: &mut Errors) {
    let (key, values) = (requirement.text("key"), requirement.items("values"));
    if !labels && key.is_empty() {
        errors.required(&path.child("key"), "must be specified");
    }
    match requirement.text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.forbidden(
            &path.child("values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        _ => {}
    }
    if labels {
        errors.qualified(key, &path.child("key"));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            errors.problems(&path.child("values").index(index), value, names::label_value(value));
        }
    }
}
