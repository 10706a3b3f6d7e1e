//! Deployment: ReplicaSets that replace one another.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::template::{check_replicated, check_selector};
use crate::validation::values::{at_most_all, collisions, immutable, int_or_percent, non_negative, percent};
use crate::validation::{Errors, Path, internal};

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
        super::pod_fields::drop_unserved(object, "spec.template.spec");
        object.put("status", Value::object());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object.assign("metadata.labels", old.field("metadata.labels").cloned());
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (path, spec) = (Path::new("spec"), object.field("spec").unwrap_or(&Value::Null));
        non_negative(spec, &["replicas"], &path, errors);
        check_selector(object, errors);
        check_replicated(object, "ReplicaSet", errors);
        check_strategy(object, &path.child("strategy"), errors);
        let fields = ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"];
        non_negative(spec, &fields, &path, errors);
        let ready = spec.int("minReadySeconds").unwrap_or(0);
        if let Some(deadline) = spec.int("progressDeadlineSeconds").filter(|d| *d <= ready) {
            let path = path.child("progressDeadlineSeconds");
            errors.invalid(&path, deadline, "must be greater than minReadySeconds");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        immutable(object, old, "spec.selector", errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        check_counts(object, errors);
        collisions(object, old, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        super::pod_warnings::of_workload(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let [containers, images] = table::containers(object, "spec.template.spec.containers");
        let count = |path: &str| object.int(path).unwrap_or(0);
        let selector = table::selector(object, "spec.selector");
        vec![
            table::name(object),
            format!("{}/{}", count("status.readyReplicas"), count("spec.replicas")).into(),
            count("status.updatedReplicas").into(),
            count("status.availableReplicas").into(),
            table::age(object, now),
            containers,
            images,
            selector.into(),
        ]
    }
}

fn check_counts(object: &Value, errors: &mut Errors) {
    let (path, status) = (Path::new("status"), object.field("status").unwrap_or(&Value::Null));
    let fields = ["observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    non_negative(status, &fields, &path, errors);
    non_negative(status, &["terminatingReplicas", "unavailableReplicas"], &path, errors);
    non_negative(status, &["collisionCount"], &path, errors);
    let count = |field: &str| status.int(field).unwrap_or(0);
    for field in ["updatedReplicas", "readyReplicas", "availableReplicas"] {
        if count(field) > count("replicas") {
            let detail = "cannot be greater than status.replicas";
            errors.invalid(&path.child(field), count(field), detail);
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let detail = "cannot be greater than readyReplicas";
        errors.invalid(&path.child("availableReplicas"), count("availableReplicas"), detail);
    }
}

fn check_strategy(object: &Value, path: &Path, errors: &mut Errors) {
    let rolling = object.field("spec.strategy.rollingUpdate");
    match object.text("spec.strategy.type") {
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
        _ => {
            let shown = internal::show("DeploymentStrategy", object.field("spec.strategy"));
            errors.unsupported(path, shown, &["Recreate", "RollingUpdate"]);
        }
    }
}

fn check_rolling(rolling: &Value, path: &Path, errors: &mut Errors) {
    for field in ["maxUnavailable", "maxSurge"] {
        if let Some(value) = rolling.field(field) {
            int_or_percent(value, &path.child(field), errors);
        }
    }
    let zero = |field: &str| rolling.field(field).is_none_or(|v| v.as_i64().or(percent(v)) == Some(0));
    let path = path.child("maxUnavailable");
    let unavailable = rolling.field("maxUnavailable").unwrap_or(&Value::Null);
    if zero("maxUnavailable") && zero("maxSurge") {
        errors.invalid(&path, unavailable, "may not be 0 when `maxSurge` is 0");
    }
    at_most_all(unavailable, &path, errors);
}
