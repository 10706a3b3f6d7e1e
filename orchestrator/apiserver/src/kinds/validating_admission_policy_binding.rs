//! ValidatingAdmissionPolicyBinding: where a policy applies, and with which parameters.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::Errors;
use crate::validation::admissionregistration::policies;

/// The rules of ValidatingAdmissionPolicyBindings.
pub(crate) struct ValidatingAdmissionPolicyBinding;

/// The columns of bindings of both kinds.
pub(super) static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "PolicyName",
        "string",
        "PolicyName indicates the policy definition which the policy binding binded to",
    ),
    Column::new(
        "ParamRef",
        "string",
        "ParamRef indicates the param resource which sets the configration param",
    ),
    table::AGE,
];

impl Rules for ValidatingAdmissionPolicyBinding {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        policies::check_validating_binding(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        row(object, now)
    }
}

/// The row of a binding of either kind.
pub(super) fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let reference = object.field("spec.paramRef");
    let (name, namespace) = reference.map_or(("", ""), |r| (r.text("name"), r.text("namespace")));
    let param = match (name, namespace) {
        ("", _) if reference.is_some_and(|r| r.has("selector")) => {
            table::selector(object, "spec.paramRef.selector")
        }
        ("", _) => "<unset>".to_owned(),
        // Whether the parameter lives in a namespace cannot be told from here.
        (name, "") => format!("*/{name}"),
        (name, namespace) => format!("{namespace}/{name}"),
    };
    vec![table::name(object), object.text("spec.policyName").into(), param.into(), table::age(object, now)]
}
