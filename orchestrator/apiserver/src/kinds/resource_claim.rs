//! ResourceClaim: the wish for devices, and what was given.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, meta, resource};

/// The rules of ResourceClaims.
pub(crate) struct ResourceClaim;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("State", "string", "A summary of the current state (allocated, pending, reserved, etc.)."),
    table::AGE,
];

impl Rules for ResourceClaim {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        resource::claim::check(object, errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        meta::check_update(object, old, errors);
        resource::claim::check_update(object, old, errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        resource::status::check(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (deleted, allocated) = (object::terminating(object), object.has("status.allocation"));
        let reserved = allocated && !object.items("status.reservedFor").is_empty();
        let states = [
            (deleted, "deleted"),
            (!deleted && !allocated, "pending"),
            (allocated, "allocated"),
            (reserved, "reserved"),
        ];
        let states: Vec<&str> =
            states.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name).collect();
        vec![table::name(object), states.join(",").into(), table::age(object, now)]
    }
}
