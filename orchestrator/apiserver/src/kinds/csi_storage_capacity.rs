//! CSIStorageCapacity: how much storage of a class a part of the cluster can still get.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::table::{self, Column};
use crate::validation::{Errors, drivers};

/// The rules of CSIStorageCapacities.
pub(crate) struct CsiStorageCapacity;

impl Rules for CsiStorageCapacity {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        drivers::check_capacity(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        errors.immutable(object, old, "nodeTopology");
        errors.immutable(object, old, "storageClassName");
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        drivers::capacity_warnings(object)
    }

    fn columns(&self) -> &'static [Column] {
        table::NAME_AND_DATE
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        table::name_and_date(object)
    }
}
