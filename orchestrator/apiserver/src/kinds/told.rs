//! What the rules of a kind say of an object: for the tables of tests beside the kinds.

use serde_json::json;
use wherry_api::kinds::{KINDS, Kind};
use wherry_schema::{FieldValidation, Format, Schemas, Value};

use super::rules;
use crate::validation::Errors;

/// An object of the resource as its rules see it: decoded, with defaults.
pub(crate) fn object(resource: &str, mut json: serde_json::Value) -> Value {
    let kind = kind(resource);
    if json["metadata"].is_null() {
        json["metadata"] = json!({ "name": "x" });
    }
    let schema = Schemas::builtin().kind(kind.group, kind.version, kind.kind).expect("the kind has a schema");
    let bytes = json.to_string().into_bytes();
    let decoded = wherry_schema::decode(&bytes, Format::Json, schema, FieldValidation::Strict);
    let (mut object, _) = decoded.expect("the fields exist");
    wherry_schema::defaults::apply((kind.group, kind.version, kind.kind), &mut object);
    if let Some(conversion) = rules(kind).conversion() {
        conversion.to_stored(&mut object);
    }
    object
}

/// The text of what is wrong with a new object, empty if nothing is.
pub(crate) fn of_new(resource: &str, json: serde_json::Value) -> String {
    let (rules, mut object) = (rules(kind(resource)), object(resource, json));
    rules.prepare_create(&mut object);
    text(|errors| {
        rules.validate(&object, errors);
        rules.validate_create(&object, errors);
    })
}

/// The text of what is wrong with a change, empty if nothing is.
pub(crate) fn of_change(resource: &str, old: serde_json::Value, new: serde_json::Value) -> String {
    let rules = rules(kind(resource));
    let mut old = object(resource, old);
    rules.prepare_create(&mut old);
    let mut new = object(resource, new);
    rules.prepare_update(&mut new, &old);
    text(|errors| rules.check_update(&new, &old, errors))
}

/// The text of what is wrong with a change of the status, empty if nothing is.
pub(crate) fn of_status(resource: &str, old: serde_json::Value, new: serde_json::Value) -> String {
    let (rules, old, mut new) = (rules(kind(resource)), object(resource, old), object(resource, new));
    rules.prepare_status(&mut new, &old);
    text(|errors| rules.validate_status(&new, &old, errors))
}

fn text(check: impl FnOnce(&mut Errors)) -> String {
    let mut errors = Errors::default();
    check(&mut errors);
    if errors.is_empty() { String::new() } else { errors.to_string() }
}

fn kind(resource: &str) -> &'static Kind {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    KINDS.iter().find(|kind| kind.plural == plural && kind.group == group).expect("the resource is served")
}
