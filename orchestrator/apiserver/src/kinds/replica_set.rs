//! ReplicaSet: so many Pods of a template.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::template::{check_immutable_selector, check_selector, check_template, non_negative};
use crate::validation::{Errors, Path};

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
        object.put("status", Value::object());
        object.put("status.replicas", 0);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = Path::new("spec");
        for field in ["replicas", "minReadySeconds"] {
            non_negative(object, "spec", field, errors);
        }
        check_selector(object, &spec, errors);
        check_template(object, &spec, errors);
        for field in ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
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
