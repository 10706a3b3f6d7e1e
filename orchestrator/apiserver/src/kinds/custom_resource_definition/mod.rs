//! CustomResourceDefinition: a kind that users add. What it defines is served by
//! `custom`.
//!
//! Rules of a definition are in `definition`; those of its schemas in `openapi` (what a schema may say), `shape` (whether
//! it is structural) and `defaults`. Values are held to a schema by
//! `custom`.

mod defaults;
mod definition;
mod fields;
mod lists;
mod openapi;
mod shape;
#[cfg(test)]
mod tests;

pub(crate) use definition::{Approval, approval};
use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::Errors;

/// The rules of CustomResourceDefinitions.
pub(crate) struct CustomResourceDefinition;

impl Rules for CustomResourceDefinition {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
        object.put("status.acceptedNames.kind", "");
        object.put("status.acceptedNames.plural", "");
        object.put("status.conditions", Value::Null);
        store_version(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        store_version(object);
    }

    fn check_create(&self, object: &Value, errors: &mut Errors) {
        definition::check_name(object, errors);
        self.validate(object, errors);
        self.validate_create(object, errors);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        definition::check(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        definition::check_update(object, old, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        definition::check_status(object, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let versions = object.items("spec.versions").iter();
        let schemas = versions.filter_map(|version| version.field("schema.openAPIV3Schema"));
        let unknown = schemas.flat_map(|schema| openapi::unknown_formats(schema));
        unknown.map(|format| format!("unrecognized format {format:?}")).collect()
    }

    fn update_warnings(&self, _object: &Value) -> Vec<String> {
        // Upstream warns of formats that the update brings in.
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        table::NAME_AND_DATE
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        table::name_and_date(object)
    }
}

/// Once a version is the one to store, objects of that version are in the store.
fn store_version(object: &mut Value) {
    let storage = object.items("spec.versions").iter().find(|version| version.flag("storage"));
    let Some(name) = storage.map(|version| version.text("name").to_owned()) else { return };
    let mut stored = object.items("status.storedVersions").to_vec();
    if !stored.iter().any(|version| version.as_str() == Some(name.as_str())) {
        stored.push(name.into());
        object.put("status.storedVersions", stored);
    }
}
