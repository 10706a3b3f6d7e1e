//! MutatingAdmissionPolicyBinding: where a policy applies, and with which parameters.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, validating_admission_policy_binding as validating};

use crate::table::Column;
use crate::validation::Errors;
use crate::validation::admissionregistration::policies;

/// The rules of MutatingAdmissionPolicyBindings.
pub(crate) struct MutatingAdmissionPolicyBinding;

impl Rules for MutatingAdmissionPolicyBinding {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        policies::check_mutating_binding(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        validating::COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        validating::row(object, now)
    }
}
