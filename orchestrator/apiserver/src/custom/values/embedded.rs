//! Objects of other kinds inside an object: they say what they are, and their metadata is as that of any object.

use wherry_api::names;
use wherry_schema::structural::Structural;
use wherry_schema::{Object, Value};

use crate::object::Fields;
use crate::validation::{Errors, Path, meta};

/// Reports what is wrong with the objects inside a value.
pub(super) fn check(schema: &Structural, value: &Value, path: &Path, errors: &mut Errors) {
    match value {
        Value::Object(fields) => {
            if schema.embedded {
                check_object(value, path, errors);
            }
            for (name, value) in fields.iter() {
                let named = schema.properties.contains_key(name.as_str());
                let at = || if named { path.child(name) } else { path.key(name) };
                if let Some(inner) = schema.field(name).filter(|_| holds_more(value)) {
                    check(inner, value, &at(), errors);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| holds_more(item)) {
                if let Some(inner) = &schema.items {
                    check(inner, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn holds_more(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

fn check_object(object: &Value, path: &Path, errors: &mut Errors) {
    let (version, kind) = (path.child("apiVersion"), path.child("kind"));
    match object.text("apiVersion") {
        "" => errors.required(&version, ""),
        text if text.matches('/').count() > 1 => {
            errors.invalid(&version, text, &format!("unexpected GroupVersion string: {text}"));
        }
        _ => {}
    }
    match object.text("kind") {
        "" => errors.required(&kind, ""),
        text => {
            if let Err(reason) = names::dns1035_label(&text.to_lowercase()) {
                let detail = format!("may have mixed case, but should otherwise match: {reason}");
                errors.invalid(&kind, text, &detail);
            }
        }
    }
    let Some(metadata) = object.get("metadata").filter(|metadata| metadata.as_object().is_some()) else {
        return;
    };
    let path = path.child("metadata");
    if let (name, Err(reason)) = (metadata.text("name"), meta::path_segment(metadata.text("name"))) {
        errors.invalid(&path.child("name"), name, &reason);
    }
    meta::check_labels(metadata.get("labels").and_then(Value::as_object), &path.child("labels"), errors);
    let annotations: Option<&Object> = metadata.get("annotations").and_then(Value::as_object);
    meta::check_annotations(annotations, &path.child("annotations"), errors);
}
