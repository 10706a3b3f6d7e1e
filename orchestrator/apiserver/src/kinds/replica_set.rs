//! ReplicaSet: so many Pods of a template.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::template::{check_replicated, check_selector};
use crate::validation::values::{immutable, non_negative};
use crate::validation::{Errors, Path, meta};

/// The rules of ReplicaSets.
pub(crate) struct ReplicaSet;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Desired", "integer", "apps.v1.ReplicaSetSpec.replicas"),
    Column::of("Current", "integer", "apps.v1.ReplicaSetStatus.replicas"),
    Column::of("Ready", "integer", "apps.v1.ReplicaSetStatus.readyReplicas"),
    table::AGE,
    table::CONTAINERS.in_wide(),
    table::IMAGES.in_wide(),
    Column::of("Selector", "string", "apps.v1.ReplicaSetSpec.selector").in_wide(),
];

impl Rules for ReplicaSet {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn prepare_create(&self, object: &mut Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
        object.put("status", Value::object());
        object.put("status.replicas", 0);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        super::pod_fields::drop_unserved(object, "spec.template.spec");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = object.field("spec").unwrap_or(&Value::Null);
        non_negative(spec, &["replicas", "minReadySeconds"], &Path::new("spec"), errors);
        check_selector(object, errors);
        check_replicated(object, "ReplicaSet", errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        self.validate(object, errors);
        meta::check_update(object, old, errors);
        self.validate(object, errors);
        immutable(object, old, "spec.selector", errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        check_counts(object, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        super::pod_warnings::of_workload(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let [containers, images] = table::containers(object, "spec.template.spec.containers");
        vec![
            object::name(object).into(),
            table::number(object, "spec.replicas"),
            table::number(object, "status.replicas"),
            table::number(object, "status.readyReplicas"),
            table::age(object, now),
            containers,
            images,
            table::selector(object, "spec.selector").into(),
        ]
    }
}

/// The rules of how many Pods there are and what state they are in.
pub(super) fn check_counts(object: &Value, errors: &mut Errors) {
    let (path, status) = (Path::new("status"), object.field("status").unwrap_or(&Value::Null));
    let counts =
        ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    non_negative(status, &counts, &path, errors);
    let count = |field: &str| status.int(field).unwrap_or(0);
    for field in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
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
