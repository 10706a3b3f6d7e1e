//! ResourceClaimTemplate: claims made for each Pod that names it.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, device_class};
use crate::table::{self, Column};
use crate::validation::{Errors, meta, resource};

/// The rules of ResourceClaimTemplates.
pub(crate) struct ResourceClaimTemplate;

impl Rules for ResourceClaimTemplate {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        resource::claim::check_template(object, errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        meta::check_update(object, old, errors);
        resource::claim::check_template_update(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        device_class::NAME_AND_AGE
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), table::age(object, now)]
    }
}
