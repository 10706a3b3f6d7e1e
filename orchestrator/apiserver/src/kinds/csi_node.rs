//! CSINode: the storage drivers of a node.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, drivers};

/// The rules of CSINodes.
pub(crate) struct CsiNode;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Drivers", "integer", "Drivers indicates the number of CSI drivers registered on the node"),
    table::AGE,
];

impl Rules for CsiNode {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        drivers::check_node(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        drivers::check_node_update(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let drivers = table::count(object.items("spec.drivers").len());
        vec![table::name(object), drivers, table::age(object, now)]
    }
}
