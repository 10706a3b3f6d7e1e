//! The rules of custom objects.

use jiff::Timestamp;
use wherry_schema::Value;

use super::definition::Version;
use crate::kinds::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::Errors;

impl Version {
    /// Whether the status is a part of its own.
    fn has_status(&self) -> bool {
        self.kind.subresource("status").is_some()
    }
}

impl Rules for Version {
    fn counts_generations(&self) -> bool {
        true
    }

    fn is_new_generation(&self, object: &Value, old: &Value) -> bool {
        let own = |object: &Value| -> Vec<_> {
            let fields = object.as_object().into_iter().flat_map(wherry_schema::Object::iter);
            let own = |name: &str| match name {
                "apiVersion" | "kind" | "metadata" => false,
                "status" => !self.has_status(),
                _ => true,
            };
            fields.filter(|(name, _)| own(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        own(object) != own(old)
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.has_status() {
            object.take("status");
        }
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        self.values.check_status(object, old, errors);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        self.values.check(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        self.values.check_update(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        &[table::NAME]
    }

    fn column_definitions(&self) -> Vec<u8> {
        self.columns.definitions()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        self.columns.cells(object, now)
    }
}
