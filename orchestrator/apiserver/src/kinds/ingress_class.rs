//! IngressClass: which controller an Ingress is for.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, ingress};

/// The rules of IngressClasses.
pub(crate) struct IngressClass;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Controller", "string", "Controller that is responsible for handling this class"),
    Column::new("Parameters", "string", "A reference to a resource with additional parameters"),
    table::AGE,
];

impl Rules for IngressClass {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        ingress::check_class(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        errors.immutable(object, old, "spec.controller");
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let parameters = object.field("spec.parameters").map_or("<none>".to_owned(), |reference| {
            let group = reference.field("apiGroup").and_then(Value::as_str).map(|g| format!(".{g}"));
            format!("{}{}/{}", reference.text("kind"), group.unwrap_or_default(), reference.text("name"))
        });
        vec![
            table::name(object),
            object.text("spec.controller").into(),
            parameters.into(),
            table::age(object, now),
        ]
    }
}
