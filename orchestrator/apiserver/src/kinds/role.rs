//! Role: what may be done in a namespace.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::table::{self, Column};
use crate::validation::rbac::{self, Scope};
use crate::validation::{Errors, meta};

/// The rules of Roles.
pub(crate) struct Role;

impl Rules for Role {
    fn create_on_update(&self) -> bool {
        true
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        meta::path_segment(name)
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        rbac::check_rules(object, Scope::Namespace, errors);
    }

    fn columns(&self) -> &'static [Column] {
        table::NAME_AND_DATE
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        table::name_and_date(object)
    }
}
