//! How the maps and lists of a custom resource merge: rules of `x-kubernetes-list-type` and its like.

use wherry_schema::Value;

use super::openapi::list;
use crate::object::Fields;
use crate::validation::{Errors, Path, Shown};

const MAP_TYPE: &str = "x-kubernetes-map-type";
const LIST_TYPE: &str = "x-kubernetes-list-type";
const KEYS: &str = "x-kubernetes-list-map-keys";

/// The rules of how the values of a schema merge.
pub(super) fn check(schema: &Value, path: &Path, errors: &mut Errors) {
    let unknown = "x-kubernetes-preserve-unknown-fields";
    if schema.get(unknown).and_then(Value::as_bool) == Some(false) {
        errors.invalid(&path.child(unknown), false, "must be true or undefined");
    }
    if let Some(map) = schema.get(MAP_TYPE).and_then(Value::as_str) {
        needs_type(schema, ("object", MAP_TYPE), path, errors);
        errors.one_of(map, &path.child(MAP_TYPE), &["atomic", "granular"]);
    }
    let keys = list(schema, KEYS);
    let Some(kind) = schema.get(LIST_TYPE).and_then(Value::as_str) else {
        if !keys.is_empty() {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            errors.required(&path.child(LIST_TYPE), detail);
        }
        return;
    };
    if schema.text("type") == "array" {
        check_set(schema, kind, path, errors);
    } else {
        needs_type(schema, ("array", LIST_TYPE), path, errors);
    }
    errors.one_of(kind, &path.child(LIST_TYPE), &["atomic", "set", "map"]);
    if !keys.is_empty() && kind != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.invalid(&path.child(LIST_TYPE), kind, detail);
    }
    if kind == "map" {
        check_keyed(schema, keys, path, errors);
    }
    check_items(schema, kind, path, errors);
}

fn needs_type(schema: &Value, (wanted, because): (&str, &str), path: &Path, errors: &mut Errors) {
    let (kind, at) = (schema.text("type"), path.child("type"));
    let detail = format!("must be {wanted} if {because} is specified");
    match kind {
        "" => errors.required(&at, &detail),
        kind if kind != wanted => errors.invalid(&at, kind, &detail),
        _ => {}
    }
}

/// Items of a set are compared as wholes.
fn check_set(schema: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let Some(items) = schema.get("items").filter(|_| kind == "set") else { return };
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let at = path.child("items");
    let how = |name: &str| items.get(name).and_then(Value::as_str);
    match (items.text("type"), how(LIST_TYPE), how(MAP_TYPE)) {
        ("array", Some(inner), _) if inner != "atomic" => {
            errors.invalid(&at.child(LIST_TYPE), inner, detail);
        }
        ("object", inner, map) if map != Some("atomic") => {
            let shown = inner.map_or(Shown::raw("null"), Shown::from);
            errors.invalid(&at.child(MAP_TYPE), shown, detail);
        }
        _ => {}
    }
}

/// Items of a map have scalar keys.
fn check_keyed(schema: &Value, keys: &[Value], path: &Path, errors: &mut Errors) {
    let at = path.child(KEYS);
    if keys.is_empty() {
        errors.required(&at, "must not be empty if x-kubernetes-list-type is map");
    }
    let inside = path.child("items");
    let Some(items) = schema.get("items").filter(|items| !items.is_null()) else {
        errors.required(&inside, "must have a schema if x-kubernetes-list-type is map");
        return;
    };
    if items.as_object().is_none() {
        errors.invalid(&inside, items, "must only have a single schema if x-kubernetes-list-type is map");
        return;
    }
    let kind = items.text("type");
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.invalid(&inside.child("type"), kind, detail);
        return;
    }
    let shown = || Shown::from(&Value::Array(keys.to_vec()));
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        match items.get("properties").and_then(|properties| properties.get(name)) {
            None => errors.invalid(&at, shown(), "entries must all be names of item properties"),
            Some(property) if matches!(property.text("type"), "array" | "object") => {
                let at = inside.child("properties").key(name).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.invalid(&at, kind, detail);
            }
            Some(_) => {}
        }
        if keys[..index].contains(key) {
            errors.invalid(&at, shown(), "must not contain duplicate entries");
        }
    }
}

/// Items that are told apart are never null, and their keys are always there.
fn check_items(schema: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let Some(items) = schema.get("items").filter(|items| items.as_object().is_some()) else { return };
    if !matches!(kind, "set" | "map") {
        return;
    }
    let inside = path.child("items");
    if items.flag("nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.forbidden(&inside.child("nullable"), &detail);
    }
    if kind != "map" {
        return;
    }
    for name in list(schema, KEYS).iter().filter_map(Value::as_str) {
        let Some(property) = items.get("properties").and_then(|properties| properties.get(name)) else {
            continue;
        };
        let at = inside.child("properties").key(name);
        let required = list(items, "required").iter().any(|field| field.as_str() == Some(name));
        if !required && !property.has("default") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(&at.child("default"), detail);
        }
        if property.flag("nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.forbidden(&at.child("nullable"), detail);
        }
    }
}
