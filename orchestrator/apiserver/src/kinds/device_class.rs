//! DeviceClass: a kind of device that claims ask for by name.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::table::{self, Column};
use crate::validation::{Errors, resource};

/// The rules of DeviceClasses.
pub(crate) struct DeviceClass;

/// The columns of kinds that show nothing but their age.
pub(super) static NAME_AND_AGE: &[Column] = &[table::NAME, table::AGE];

impl Rules for DeviceClass {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        resource::class::check(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        NAME_AND_AGE
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), table::age(object, now)]
    }
}
