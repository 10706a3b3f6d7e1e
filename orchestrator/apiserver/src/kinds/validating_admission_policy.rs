//! ValidatingAdmissionPolicy: conditions that objects must meet, as expressions (`admission::policy`).

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::Errors;
use crate::validation::admissionregistration::policies;

/// The rules of ValidatingAdmissionPolicies.
pub(crate) struct ValidatingAdmissionPolicy;

/// The column of policies of both kinds that shows what they take as parameters.
pub(super) const PARAM_KIND: Column = Column::new(
    "ParamKind",
    "string",
    "ParamKind specifies the kind of resources used to parameterize this policy",
);

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "Validations",
        "integer",
        "Validations indicates the number of validation rules defined in this configuration",
    ),
    PARAM_KIND,
    table::AGE,
];

impl Rules for ValidatingAdmissionPolicy {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        policies::check_validating(object, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        policies::check_status(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let validations = table::count(object.items("spec.validations").len());
        vec![table::name(object), validations, param_kind(object), table::age(object, now)]
    }
}

/// The cell of [`PARAM_KIND`].
pub(super) fn param_kind(object: &Value) -> Value {
    match object.field("spec.paramKind") {
        Some(kind) => format!("{}/{}", kind.text("apiVersion"), kind.text("kind")).into(),
        None => "<unset>".into(),
    }
}
