//! ResourceSlice: some of the devices that a driver offers.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, meta, resource};

/// The rules of ResourceSlices.
pub(crate) struct ResourceSlice;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Node", "string", "resource.v1.ResourceSliceSpec.nodeName"),
    Column::of("Driver", "string", "resource.v1.ResourceSliceSpec.driver"),
    Column::of("Pool", "string", "resource.v1.ResourcePool.name"),
    table::AGE,
];

static FIELDS: &[Selectable] = &[
    Selectable { name: "spec.nodeName", attribute: "=spec.nodeName" },
    Selectable { name: "spec.driver", attribute: "=spec.driver" },
];

impl Rules for ResourceSlice {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        resource::slice::check(object, None, errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        meta::check_update(object, old, errors);
        resource::slice::check(object, Some(old), errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            table::name(object),
            object.text("spec.nodeName").into(),
            object.text("spec.driver").into(),
            object.text("spec.pool.name").into(),
            table::age(object, now),
        ]
    }
}
