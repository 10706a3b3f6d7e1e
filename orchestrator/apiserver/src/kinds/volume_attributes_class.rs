//! VolumeAttributesClass: parameters of a volume that can change while it exists.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, drivers};

/// The rules of VolumeAttributesClasses.
pub(crate) struct VolumeAttributesClass;

/// Keeps a class as long as volumes use it.
const PROTECTION: &str = "kubernetes.io/vac-protection";

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("DriverName", "string", "storage.v1.VolumeAttributesClass.driverName"),
    table::AGE,
];

impl Rules for VolumeAttributesClass {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        let mut finalizers: Vec<String> = object::finalizers(object).into_iter().map(str::to_owned).collect();
        if !finalizers.iter().any(|finalizer| finalizer == PROTECTION) {
            finalizers.push(PROTECTION.to_owned());
            object::set_finalizers(object, &finalizers);
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        drivers::check_attributes_class(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        drivers::check_attributes_class_update(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), object.text("driverName").into(), table::age(object, now)]
    }
}
