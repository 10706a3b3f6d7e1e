//! MutatingAdmissionPolicy: changes to objects on their way in, as expressions (`admission::policy`).

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use super::validating_admission_policy::{PARAM_KIND, param_kind};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::Errors;
use crate::validation::admissionregistration::policies;

/// The rules of MutatingAdmissionPolicies.
pub(crate) struct MutatingAdmissionPolicy;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "Mutations",
        "integer",
        "Mutation indicates the number of mutations rules defined in this configuration",
    ),
    PARAM_KIND,
    table::AGE,
];

impl Rules for MutatingAdmissionPolicy {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        policies::check_mutating(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let mutations = table::count(object.items("spec.mutations").len());
        vec![table::name(object), mutations, param_kind(object), table::age(object, now)]
    }
}
