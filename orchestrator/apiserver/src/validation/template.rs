//! Selectors and pod templates, as the workloads have them.

use wherry_api::selector::{LabelRequirement, LabelSelector, Operator};
use wherry_schema::{Object, Value};

use super::{Errors, Path, Shown, meta, names, pod};
use crate::object::Fields;

/// Whether a selector selects everything.
pub(crate) fn is_empty(selector: &Value) -> bool {
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
        let key = expression.text("key");
        errors.problems(&path.child("key"), key, names::qualified(key));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            errors.problems(&path.child("values").index(index), value, names::label_value(value));
        }
    }
}

/// Whether a selector can be used at all.
pub(crate) fn is_usable(selector: &Value) -> bool {
    let mut errors = Errors::default();
    check_label_selector(selector, &Path::default(), &mut errors);
    errors.is_empty()
}

/// The clauses of a selector object.
pub(crate) fn parse_selector(selector: &Value) -> LabelSelector {
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

/// Whether a selector selects these labels. No selector selects nothing.
pub(crate) fn selects(selector: Option<&Value>, labels: Option<&Object>) -> bool {
    selector.is_some_and(|selector| {
        parse_selector(selector).matches(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    })
}

/// Labels as an error text shows them.
pub(crate) fn show_labels(labels: Option<&Object>) -> Shown {
    let shown = labels.filter(|labels| !labels.is_empty());
    shown.map_or(Shown::raw("null"), |labels| Shown::from(&Value::Object(labels.clone())))
}

/// Refuses labels of a template that its own selector does not select.
pub(crate) fn check_selected(object: &Value, spec: &Path, errors: &mut Errors) {
    let labels = object.map("spec.template.metadata.labels");
    if !selects(object.field("spec.selector"), labels) {
        let path = spec.child("template.metadata.labels");
        errors.invalid(&path, show_labels(labels), "`selector` does not match template `labels`");
    }
}

/// The rules of a pod template.
pub(crate) fn check_pod_template(template: &Value, path: &Path, errors: &mut Errors) {
    let (annotations, spec) = (template.map("metadata.annotations"), template.field("spec"));
    let spec = spec.unwrap_or(&Value::Null);
    meta::check_labels(template.map("metadata.labels"), &path.child("labels"), errors);
    meta::check_annotations(annotations, &path.child("annotations"), errors);
    pod::check_annotations(annotations, spec, &path.child("annotations"), errors);
    pod::check_spec(spec, None, &path.child("spec"), errors);
    pod::check_annotated_fields(annotations, spec, &path.child("spec"), errors);
    if !spec.items("ephemeralContainers").is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.forbidden(&path.child("spec.ephemeralContainers"), detail);
    }
}

/// The rules of a template whose Pods never end. `kind` is who has it.
pub(crate) fn check_endless(template: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let policy = template.text("spec.restartPolicy");
    if policy != "Always" {
        errors.unsupported(&path.child("spec.restartPolicy"), policy, &["Always"]);
    }
    if template.has("spec.activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.forbidden(&path.child("spec.activeDeadlineSeconds"), &detail);
    }
}

/// The rules of `spec.selector` and `spec.template` that workloads with ReplicaSets share.
pub(crate) fn check_replicated(object: &Value, kind: &str, errors: &mut Errors) {
    let spec = Path::new("spec");
    let path = spec.child("template");
    let Some(template) = object.field("spec.template") else {
        errors.required(&path, "");
        return;
    };
    let selector = object.field("spec.selector");
    if let Some(selector) = selector.filter(|selector| !is_usable(selector)) {
        errors.invalid(&spec.child("selector"), selector, "invalid label selector");
        return;
    }
    if selector.is_none_or(|selector| !is_empty(selector)) {
        check_selected(object, &spec, errors);
    }
    check_pod_template(template, &path, errors);
    check_endless(template, kind, &path, errors);
}

/// The rules of a selector that must be there and select something.
pub(crate) fn check_selector(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec.selector");
    match object.field("spec.selector") {
        None => errors.required(&path, ""),
        Some(selector) => {
            check_label_selector(selector, &path, errors);
            if is_empty(selector) {
                errors.invalid(&path, Shown::raw("{}"), "empty selector is invalid for deployment");
            }
        }
    }
}
