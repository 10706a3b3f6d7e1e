//! The rules of autoscalers.

use wherry_api::quantity::Quantity;
use wherry_schema::Value;

use super::template::check_label_selector;
use super::values::quantity;
use super::{Errors, Path};
use crate::object::Fields;

/// The kinds of metrics, with the fields that hold them.
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const EITHER: &str = "must set either a target value for metric or a per-pod target";
const LONGEST_WINDOW: i64 = 3600;
const LONGEST_PERIOD: i64 = 1800;

/// The rules of an autoscaler's spec.
pub(crate) fn check_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let (min, max) = (spec.int("minReplicas"), spec.int("maxReplicas").unwrap_or(0));
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.invalid(&path.child("minReplicas"), min, "must be greater than or equal to 1");
    }
    if max < 1 {
        errors.required(&path.child("maxReplicas"), "must be set and greater than 0");
    }
    if min.is_some_and(|min| max < min) {
        errors.invalid(&path.child("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    }
    let at = path.child("scaleTargetRef");
    let target = spec.field("scaleTargetRef").unwrap_or(&Value::Null);
    check_reference(target, &at, errors);
    check_version(target, &at, errors);
    for (index, metric) in spec.items("metrics").iter().enumerate() {
        check_metric(metric, &path.child("metrics").index(index), errors);
    }
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec.field("behavior").and_then(|behavior| behavior.field(direction)) {
            check_behavior(rules, &path.child("behavior").child(direction), errors);
        }
    }
}

fn check_reference(reference: &Value, path: &Path, errors: &mut Errors) {
    for field in ["kind", "name"] {
        let text = reference.text(field);
        if text.is_empty() {
            errors.required(&path.child(field), "");
        } else {
            check_segment(text, &path.child(field), errors);
        }
    }
}

/// A name that is one segment of a path.
fn check_segment(text: &str, path: &Path, errors: &mut Errors) {
    if matches!(text, "." | "..") {
        errors.invalid(path, text, &format!("may not be '{text}'"));
    }
    for character in ['/', '%'].into_iter().filter(|c| text.contains(*c)) {
        errors.invalid(path, text, &format!("may not contain '{character}'"));
    }
}

fn check_version(reference: &Value, path: &Path, errors: &mut Errors) {
    let (version, path) = (reference.text("apiVersion"), path.child("apiVersion"));
    if version.matches('/').count() > 1 {
        errors.invalid(&path, version, &format!("unexpected GroupVersion string: {version}"));
    } else if !version.contains('/') && reference.text("kind") != "ReplicationController" {
        errors.invalid(&path, version, "apiVersion must specify API group");
    }
}

fn check_metric(metric: &Value, path: &Path, errors: &mut Errors) {
    let kind = metric.text("type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "must specify a metric source type");
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    if expected.is_none() {
        let mut kinds: Vec<&str> = SOURCES.iter().map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        errors.unsupported(&path.child("type"), kind, &kinds);
    }
    let given: Vec<&str> = SOURCES.iter().map(|(_, f)| *f).filter(|f| metric.has(f)).collect();
    if let Some(first) = given.first()
        && let Some(source) = metric.field(first)
    {
        check_source(first, source, &path.child(first), errors);
    }
    if let Some(expected) = expected.filter(|expected| !metric.has(expected)) {
        let detail = "must populate information for the given metric source";
        errors.required(&path.child(expected), detail);
    }
    if given.len() != 1 {
        for extra in given.iter().filter(|field| Some(**field) != expected) {
            errors.forbidden(&path.child(extra), "must populate the given metric source only");
        }
    }
}

fn check_source(kind: &str, source: &Value, path: &Path, errors: &mut Errors) {
    let target = path.child("target");
    let (value, average) = (source.has("target.value"), source.has("target.averageValue"));
    match kind {
        "resource" | "containerResource" => {
            check_resource(kind, source, path, errors);
            return;
        }
        "object" => {
            let described = source.field("describedObject").unwrap_or(&Value::Null);
            check_reference(described, &path.child("describedObject"), errors);
        }
        _ => {}
    }
    let metric = source.field("metric").unwrap_or(&Value::Null);
    let name = metric.text("name");
    if name.is_empty() {
        errors.required(&path.child("metric.name"), "must specify a metric name");
    } else {
        check_segment(name, &path.child("metric.name"), errors);
    }
    if let Some(selector) = metric.field("selector") {
        check_label_selector(selector, &path.child("metric.selector"), errors);
    }
    check_target(source, &target, errors);
    if kind == "pods" {
        let positive = quantity(source, "target.averageValue").is_some_and(|q| q > Quantity::default());
        if !positive {
            errors.required(&target.child("averageValue"), "must specify a positive target averageValue");
        }
        return;
    }
    if !value && !average {
        errors.required(&target.child("averageValue"), EITHER);
    }
    if value && average && kind == "external" {
        let detail = "may not set both a target value for metric and a per-pod target";
        errors.forbidden(&target.child("value"), detail);
    }
}

fn check_resource(kind: &str, source: &Value, path: &Path, errors: &mut Errors) {
    if source.text("name").is_empty() {
        errors.required(&path.child("name"), "must specify a resource name");
    }
    if kind == "containerResource" && source.text("container").is_empty() {
        errors.required(&path.child("container"), "must specify a container");
    }
    let target = path.child("target");
    check_target(source, &target, errors);
    match (source.has("target.averageUtilization"), source.has("target.averageValue")) {
        (false, false) => {
            let detail = "must set either a target raw value or a target utilization";
            errors.required(&target.child("averageUtilization"), detail);
        }
        (true, true) => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.forbidden(&target.child("averageValue"), detail);
        }
        _ => {}
    }
}

fn check_target(source: &Value, path: &Path, errors: &mut Errors) {
    let Some(target) = source.field("target") else { return };
    match target.text("type") {
        "" => {
            errors.required(&path.child("type"), "must specify a metric target type");
            errors.invalid(&path.child("type"), "", "must be either Utilization, Value, or AverageValue");
        }
        "Utilization" | "Value" | "AverageValue" => {}
        other => {
            errors.invalid(&path.child("type"), other, "must be either Utilization, Value, or AverageValue");
        }
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = quantity(target, field).filter(|amount| *amount <= Quantity::default()) {
            errors.invalid(&path.child(field), amount, "must be positive");
        }
    }
    if let Some(percent) = target.int("averageUtilization").filter(|percent| *percent < 1) {
        errors.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn check_behavior(rules: &Value, path: &Path, errors: &mut Errors) {
    if let Some(window) = rules.int("stabilizationWindowSeconds") {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.invalid(&path, window, "must be greater than or equal to zero");
        } else if window > LONGEST_WINDOW {
            errors.invalid(&path, window, &format!("must be less than or equal to {LONGEST_WINDOW}"));
        }
    }
    super::values::choice(rules, "selectPolicy", &["Disabled", "Max", "Min"], path, errors);
    let policies = rules.items("policies");
    if policies.is_empty() {
        errors.required(&path.child("policies"), "must specify at least one Policy");
    }
    for (index, policy) in policies.iter().enumerate() {
        let path = path.child("policies").index(index);
        let kind = policy.text("type");
        if !matches!(kind, "Percent" | "Pods") {
            errors.unsupported(&path.child("type"), kind, &["Percent", "Pods"]);
        }
        for field in ["value", "periodSeconds"] {
            if let Some(number) = policy.int(field).filter(|number| *number <= 0) {
                errors.invalid(&path.child(field), number, "must be greater than zero");
            }
        }
        if let Some(period) = policy.int("periodSeconds").filter(|period| *period > LONGEST_PERIOD) {
            let detail = format!("must be less than or equal to {LONGEST_PERIOD}");
            errors.invalid(&path.child("periodSeconds"), period, &detail);
        }
    }
    if let Some(tolerance) = quantity(rules, "tolerance").filter(Quantity::is_negative) {
        errors.invalid(&path.child("tolerance"), tolerance, super::values::NEGATIVE);
    }
}
