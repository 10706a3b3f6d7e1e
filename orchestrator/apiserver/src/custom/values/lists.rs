//! Lists whose items are told apart by value or by keys: none may be there twice.

use wherry_schema::structural::{ListType, Structural};
use wherry_schema::{Object, Value};

use super::walk::other_fields;
use crate::validation::{Errors, Path};

/// Whether there are such lists in a schema.
pub(super) fn are_in(schema: &Structural) -> bool {
    let own = matches!(schema.list_type, ListType::Set | ListType::Map(_));
    let inner = schema.properties.values().chain(schema.items.as_deref()).chain(other_fields(schema));
    own || inner.into_iter().any(are_in)
}

/// Reports the items that are there twice.
pub(super) fn check(schema: &Structural, object: &Value, path: &Path, errors: &mut Errors) {
    match object {
        Value::Array(items) => check_list(schema, items, path, errors),
        Value::Object(fields) => {
            if let Some(inner) = other_fields(schema) {
                for (name, value) in fields.iter() {
                    check(inner, value, &path.key(name), errors);
                }
            }
            for (name, value) in fields.iter() {
                if let Some(inner) = schema.properties.get(name.as_str()) {
                    check(inner, value, &path.child(name), errors);
                }
            }
        }
        _ => {}
    }
}

fn check_list(schema: &Structural, items: &[Value], path: &Path, errors: &mut Errors) {
    match &schema.list_type {
        ListType::Set => check_unique(items, path, errors),
        ListType::Map(keys) => check_keyed(items, keys, path, errors),
        ListType::Unsaid | ListType::Atomic => {}
    }
    if let Some(inner) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            check(inner, item, &path.index(index), errors);
        }
    }
}

fn check_keyed(items: &[Value], keys: &[String], path: &Path, errors: &mut Errors) {
    if let Some(odd) = items.iter().position(|item| !matches!(item, Value::Object(_) | Value::Null)) {
        errors.invalid(&path.index(odd), &items[odd], "must be an object for an array of list-type map");
        return;
    }
    let found: Vec<Value> = items.iter().map(|item| keys_of(item, keys)).collect();
    check_unique(&found, path, errors);
}

/// The keys that an item has.
fn keys_of(item: &Value, keys: &[String]) -> Value {
    let found = keys.iter().filter_map(|key| Some((key.as_str().into(), item.get(key)?.clone())));
    Value::Object(found.collect::<Object>())
}

/// Each item that is there twice is told once: at its second place.
fn check_unique(items: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = std::collections::HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let times = seen.entry(item.to_json_bytes()).or_insert(0_usize);
        *times += 1;
        if *times == 2 {
            errors.duplicate(&path.index(index), item);
        }
    }
}
