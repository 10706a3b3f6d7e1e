//! What tells a strategic merge patch from a plain one: `$patch`, `$retainKeys`, `$setElementOrder/<field>`,
//! `$deleteFromPrimitiveList/<field>`, and the errors about them, in Kubernetes' words.

use std::fmt::Write;

use super::PatchError;
use crate::value::{Object, Value};

pub(super) const PATCH: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
pub(super) const SET_ELEMENT_ORDER: &str = "$setElementOrder/";
pub(super) const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList/";

/// The value of `$patch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    Merge,
    Replace,
    Delete,
}

/// The directive of an object of the patch.
pub(super) fn directive(patch: &Object) -> Result<Option<Directive>, PatchError> {
    let Some(value) = patch.get(PATCH) else { return Ok(None) };
    match value.as_str() {
        Some("merge") => Ok(Some(Directive::Merge)),
        Some("replace") => Ok(Some(Directive::Replace)),
        Some("delete") => Ok(Some(Directive::Delete)),
        _ => Err(unknown_directive(patch)),
    }
}

/// The error about a `$patch` that is not allowed where it stands.
pub(super) fn unknown_directive(patch: &Object) -> PatchError {
    let mut message = "unknown patch type: ".to_owned();
    print(patch.get(PATCH).unwrap_or(&Value::Null), &mut message);
    message.push_str(" in map: ");
    print_map(patch, &mut message);
    PatchError::Strategic(message)
}

/// The error about an item without the key that identifies it.
pub(super) fn no_merge_key(item: &Object, key: &str) -> PatchError {
    let mut message = "map: ".to_owned();
    print_map(item, &mut message);
    write!(message, " does not contain declared merge key: {key}").expect("a String takes everything");
    PatchError::Strategic(message)
}

pub(super) fn strategic(message: impl Into<String>) -> PatchError {
    PatchError::Strategic(message.into())
}

/// A value as Go's `%v` prints it.
pub(crate) fn print(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            write!(out, "{value}").expect("a String takes everything");
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                print(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => print_map(object, out),
    }
}

fn print_map(object: &Object, out: &mut String) {
    out.push_str("map[");
    for (index, (name, value)) in object.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        write!(out, "{space}{name}:").expect("a String takes everything");
        print(value, out);
    }
    out.push(']');
}

/// A part of a patch as it is put where nothing was before: without nulls and directives. `None` if the directive
/// is to delete it.
pub(super) fn plain(value: &Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.get(PATCH).and_then(Value::as_str) == Some("delete") => None,
        Value::Object(object) => {
            let kept = object.iter().filter(|(name, value)| !value.is_null() && !is_directive(name));
            Some(Value::Object(
                kept.filter_map(|(name, value)| Some((name.clone(), plain(value)?))).collect(),
            ))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(plain).collect())),
        value => Some(value.clone()),
    }
}

fn is_directive(name: &str) -> bool {
    name == PATCH
        || name == RETAIN_KEYS
        || name.starts_with(SET_ELEMENT_ORDER)
        || name.starts_with(DELETE_FROM_PRIMITIVE_LIST)
}
