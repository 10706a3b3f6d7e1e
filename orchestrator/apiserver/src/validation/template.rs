//! Selectors and pod templates, as Deployments and ReplicaSets have them.

use wherry_api::names;
use wherry_api::selector::{LabelRequirement, LabelSelector, Operator};
use wherry_schema::{Object, Value};

use super::{Errors, Path, Shown, meta, pod};
use crate::object::{self, Fields};

/// Refuses a negative number in a field below `parent`.
pub(crate) fn non_negative(object: &Value, parent: &str, field: &str, errors: &mut Errors) {
    let path = format!("{parent}.{field}");
    if let Some(number) = object.int(&path).filter(|n| *n < 0) {
        errors.invalid(&Path::new(&path), number, "must be greater than or equal to 0");
    }
}

/// The rules of `spec.selector`.
pub(crate) fn check_selector(object: &Value, spec: &Path, errors: &mut Errors) {
    let path = spec.child("selector");
    let Some(selector) = object.field("spec.selector") else {
        errors.required(&path, "");
        return;
    };
    if is_empty(selector) {
        errors.invalid(&path, Shown::raw("{}"), "empty selector is invalid for deployment");
        return;
    }
    check_label_selector(selector, &path, errors);
}

fn is_empty(selector: &Value) -> bool {
    selector.map("matchLabels").is_none_or(Object::is_empty) && selector.items("matchExpressions").is_empty()
}

/// The rules of a label selector.
pub(crate) fn check_label_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    meta::check_labels(selector.map("matchLabels"), &path.child("matchLabels"), errors);
    for (index, expression) in selector.items("matchExpressions").iter().enumerate() {
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
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        if let Err(reason) = names::label_key(expression.text("key")) {
            errors.invalid(&path.child("key"), expression.text("key"), &reason);
        }
    }
}

/// The clauses of a selector object.
fn parse_selector(selector: &Value) -> LabelSelector {
    let mut clauses = Vec::new();
    for (key, value) in selector.map("matchLabels").into_iter().flat_map(Object::iter) {
        let value = value.as_str().unwrap_or_default().to_owned();
        clauses.push(LabelRequirement { key: key.to_string(), operator: Operator::In(vec![value]) });
    }
    for expression in selector.items("matchExpressions") {
        let values = expression.items("values").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let operator = match expression.text("operator") {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            _ => Operator::DoesNotExist,
        };
        clauses.push(LabelRequirement { key: expression.text("key").to_owned(), operator });
    }
    LabelSelector::from_requirements(clauses)
}

/// The rules of `spec.template`, which the selector must match and whose Pods never end.
pub(crate) fn check_template(object: &Value, spec: &Path, errors: &mut Errors) {
    let path = spec.child("template");
    let Some(template) = object.field("spec.template") else {
        errors.required(&path, "");
        return;
    };
    let labels = template.map("metadata.labels");
    let selector = object.field("spec.selector");
    let usable = selector.is_some_and(|s| !is_empty(s));
    let matches = selector.is_some_and(|s| {
        parse_selector(s).matches(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    });
    if (usable || selector.is_none()) && !matches {
        let shown = labels.map_or(Shown::raw("{}"), |l| Shown::from(&Value::Object(l.clone())));
        let path = path.child("metadata.labels");
        errors.invalid(&path, shown, "`selector` does not match template `labels`");
    }
    meta::check_labels(labels, &path.child("labels"), errors);
    meta::check_annotations(template.map("metadata.annotations"), &path.child("annotations"), errors);
    pod::check_spec(template.field("spec").unwrap_or(&Value::Null), &path.child("spec"), errors);
    let policy = template.text("spec.restartPolicy");
    if policy != "Always" && matches!(policy, "OnFailure" | "Never") {
        errors.unsupported(&path.child("spec.restartPolicy"), policy, &["Always"]);
    }
    if template.has("spec.activeDeadlineSeconds") {
        let path = path.child("spec.activeDeadlineSeconds");
        errors.forbidden(&path, "activeDeadlineSeconds in this pod template is not supported");
    }
}

/// A selector is chosen once.
pub(crate) fn check_immutable_selector(object: &Value, old: &Value, errors: &mut Errors) {
    if !object::same(object, old, "spec.selector") {
        let shown = object.field("spec.selector").map_or(Shown::raw("null"), Shown::from);
        errors.invalid(&Path::new("spec.selector"), shown, "field is immutable");
    }
}
