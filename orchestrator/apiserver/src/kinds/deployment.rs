//! Deployment: ReplicaSets that replace one another.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::template::{check_immutable_selector, check_selector, check_template, non_negative};
use crate::validation::{Errors, Path, Shown};

/// The rules of Deployments.
pub(crate) struct Deployment;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Ready", "string", "Number of the pod with ready state"),
    Column::of("Up-to-date", "string", "apps.v1.DeploymentStatus.updatedReplicas"),
    Column::of("Available", "string", "apps.v1.DeploymentStatus.availableReplicas"),
    table::AGE,
    table::CONTAINERS.in_wide(),
    table::IMAGES.in_wide(),
    Column::of("Selector", "string", "apps.v1.DeploymentSpec.selector").in_wide(),
];

impl Rules for Deployment {
    fn generation(&self) -> &'static [&'static str] {
        &["spec", "metadata.annotations"]
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object.assign("metadata.labels", old.field("metadata.labels").cloned());
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = Path::new("spec");
        non_negative(object, "spec", "replicas", errors);
        check_selector(object, &spec, errors);
        check_template(object, &spec, errors);
        check_strategy(object, &spec.child("strategy"), errors);
        for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
            non_negative(object, "spec", field, errors);
        }
        let ready = object.int("spec.minReadySeconds").unwrap_or(0);
        if let Some(deadline) = object.int("spec.progressDeadlineSeconds").filter(|d| *d <= ready) {
            let path = spec.child("progressDeadlineSeconds");
            errors.invalid(&path, deadline, "must be greater than minReadySeconds");
        }
        for field in
            ["observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
        {
            non_negative(object, "status", field, errors);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        check_immutable_selector(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let [containers, images] = table::containers(object, "spec.template.spec.containers");
        let count = |path: &str| object.int(path).unwrap_or(0);
        vec![
            table::name(object),
            format!("{}/{}", count("status.readyReplicas"), count("spec.replicas")).into(),
            count("status.updatedReplicas").into(),
            count("status.availableReplicas").into(),
            table::age(object, now),
            containers,
            images,
            table::selector(object, "spec.selector").into(),
        ]
    }
}

fn check_strategy(object: &Value, path: &Path, errors: &mut Errors) {
    let strategy = object.text("spec.strategy.type");
    let rolling = object.field("spec.strategy.rollingUpdate");
    match strategy {
        "Recreate" if rolling.is_some() => errors.forbidden(
            &path.child("rollingUpdate"),
            "may not be specified when strategy `type` is 'Recreate'",
        ),
        "Recreate" => {}
        "RollingUpdate" => {
            let path = path.child("rollingUpdate");
            match rolling {
                Some(rolling) => check_rolling(rolling, &path, errors),
                None => errors.required(&path, "this should be defaulted and never be nil"),
            }
        }
        other => {
            let shown = Shown::raw(format!("{{\"Type\":{other:?},\"RollingUpdate\":null}}"));
            errors.unsupported(path, shown, &["Recreate", "RollingUpdate"]);
        }
    }
}

fn check_rolling(rolling: &Value, path: &Path, errors: &mut Errors) {
    for field in ["maxUnavailable", "maxSurge"] {
        if let Some(value) = rolling.field(field) {
            check_int_or_percent(value, &path.child(field), errors);
        }
    }
    let zero = |field: &str| rolling.field(field).is_some_and(|v| amount(v) == Some(0));
    if zero("maxUnavailable") && zero("maxSurge") {
        let shown = Shown::from(rolling.field("maxUnavailable").unwrap_or(&Value::Null));
        errors.invalid(&path.child("maxUnavailable"), shown, "may not be 0 when `maxSurge` is 0");
    }
    if rolling.field("maxUnavailable").is_some_and(|v| v.as_str().is_some() && amount(v) > Some(100)) {
        let shown = Shown::from(rolling.text("maxUnavailable"));
        errors.invalid(&path.child("maxUnavailable"), shown, "must not be greater than 100%");
    }
}

/// A whole number or the number of a percentage.
fn amount(value: &Value) -> Option<i64> {
    match value.as_str() {
        Some(text) => text.strip_suffix('%')?.parse().ok(),
        None => value.as_i64(),
    }
}

fn check_int_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    match (value.as_str(), amount(value)) {
        (Some(text), None) => errors.invalid(
            path,
            text,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
             regex used for validation is '[0-9]+%')",
        ),
        (_, Some(number)) if number < 0 => errors.invalid(path, number, "must be greater than or equal to 0"),
        _ => {}
    }
}
