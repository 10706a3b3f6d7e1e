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
    Column::new("Desired", "integer", "Number of Pods wanted"),
    Column::new("Current", "integer", "Number of Pods"),
    Column::new("Ready", "integer", "Number of Pods that are ready"),
    table::AGE,
    Column::wide("Containers", "string", "Names of the containers of the template"),
    Column::wide("Images", "string", "Images of the containers of the template"),
    Column::wide("Selector", "string", "Label selector of its Pods"),
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
