//! Rules of conditions of the common type.

use wherry_schema::Value;

use super::{Errors, Path};
use crate::object::Fields;

const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
    alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or \
    'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
    '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// The rules of a list of conditions.
pub(crate) fn check(conditions: &[Value], path: &Path, errors: &mut Errors) {
    for (index, condition) in conditions.iter().enumerate() {
        let kind = condition.text("type");
        if conditions[..index].iter().any(|other| other.text("type") == kind) {
            errors.duplicate(&path.index(index).child("type"), kind);
        }
    }
    for (index, condition) in conditions.iter().enumerate() {
        check_one(condition, &path.index(index), errors);
    }
}

fn check_one(condition: &Value, path: &Path, errors: &mut Errors) {
    let kind = condition.text("type");
    errors.qualified(kind, &path.child("type"));
    match condition.text("status") {
        "" => errors.required(&path.child("status"), ""),
        status => errors.one_of(status, &path.child("status"), &["False", "True", "Unknown"]),
    }
    if let Some(generation) = condition.int("observedGeneration").filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.invalid(&path.child("observedGeneration"), generation, detail);
    }
    if !condition.has("lastTransitionTime") {
        errors.required(&path.child("lastTransitionTime"), "must be set");
    }
    let (reason, at) = (condition.text("reason"), path.child("reason"));
    if reason.is_empty() {
        errors.required(&at, "");
    } else {
        if reason.len() > MAX_REASON {
            errors.too_long(&at, MAX_REASON);
        }
        if !is_reason(reason) {
            errors.invalid(&at, reason, REASON);
        }
    }
    if condition.text("message").len() > MAX_MESSAGE {
        errors.too_long(&path.child("message"), MAX_MESSAGE);
    }
}

fn is_reason(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(inner)
}
