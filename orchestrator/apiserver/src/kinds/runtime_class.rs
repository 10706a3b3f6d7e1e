//! RuntimeClass: a name for the handler that runs a Pod's containers.

use jiff::Timestamp;
use wherry_api::names;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::meta::check_labels;
use crate::validation::pod::check_tolerations;
use crate::validation::{Errors, Path};

/// The rules of RuntimeClasses.
pub(crate) struct RuntimeClass;

static COLUMNS: &[Column] = &[table::NAME, Column::new("Handler", "string", ""), table::AGE];

impl Rules for RuntimeClass {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let handler = object.text("handler");
        if let Err(reason) = names::dns1123_label(handler) {
            errors.invalid(&Path::new("handler"), handler, &reason);
        }
        let scheduling = Path::new("scheduling");
        let selector = object.map("scheduling.nodeSelector");
        check_labels(selector, &scheduling.child("nodeSelector"), errors);
        let tolerations = object.items("scheduling.tolerations");
        check_tolerations(tolerations, &scheduling.child("tolerations"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "handler") {
            errors.invalid(&Path::new("handler"), object.text("handler"), "field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), object.text("handler").into(), table::age(object, now)]
    }
}
