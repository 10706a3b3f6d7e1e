//! Lease: who holds what until when. Written often, so it may reach the disk late.

use jiff::Timestamp;
use wherry_schema::Value;
use wherry_store::Durability;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, Path};

/// The rules of Leases.
pub(crate) struct Lease;

static COLUMNS: &[Column] =
    &[table::NAME, Column::of("Holder", "string", "coordination.v1.LeaseSpec.holderIdentity"), table::AGE];

impl Rules for Lease {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn durability(&self) -> Durability {
        Durability::Lazy
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = Path::new("spec");
        if let Some(seconds) = object.int("spec.leaseDurationSeconds").filter(|s| *s <= 0) {
            errors.invalid(&spec.child("leaseDurationSeconds"), seconds, "must be greater than 0");
        }
        if let Some(transitions) = object.int("spec.leaseTransitions").filter(|t| *t < 0) {
            errors.invalid(
                &spec.child("leaseTransitions"),
                transitions,
                "must be greater than or equal to 0",
            );
        }
        if object.has("spec.preferredHolder") && object.text("spec.strategy").is_empty() {
            errors
                .forbidden(&spec.child("preferredHolder"), "may only be specified if `strategy` is defined");
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), object.text("spec.holderIdentity").into(), table::age(object, now)]
    }
}
