//! ControllerRevision: a state that a workload was in, never changed.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::values::non_negative;
use crate::validation::{Errors, Path};

/// The rules of ControllerRevisions.
pub(crate) struct ControllerRevision;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Controller", "string", "Controller of the object"),
    Column::of("Revision", "string", "apps.v1.ControllerRevision.revision"),
    table::AGE,
];

impl Rules for ControllerRevision {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        if !object.has("data") {
            errors.required(&Path::new("data"), "data is mandatory");
        }
        non_negative(object, &["revision"], &Path::default(), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "data") {
            errors.invalid(
                &Path::new("data"),
                object.field("data").unwrap_or(&Value::Null),
                "field is immutable",
            );
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let owners = object.items("metadata.ownerReferences");
        let controller = owners.iter().find(|owner| owner.flag("controller")).map(show);
        vec![
            table::name(object),
            controller.unwrap_or_else(|| "<none>".to_owned()).into(),
            table::number(object, "revision"),
            table::age(object, now),
        ]
    }
}

/// `statefulset.apps/web`.
fn show(owner: &Value) -> String {
    let kind = owner.text("kind").to_lowercase();
    match owner.text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", owner.text("name")),
        None => format!("{kind}/{}", owner.text("name")),
    }
}
