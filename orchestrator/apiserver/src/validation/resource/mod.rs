//! Rules of devices: classes, claims, and what drivers offer. Expressions are not compiled yet.

pub(crate) mod claim;
pub(crate) mod class;
mod device;
mod policy;
pub(crate) mod slice;
pub(crate) mod status;

use wherry_api::names;
use wherry_schema::Value;

use super::drivers::check_driver_name;
use super::{Errors, Path, Shown};
use crate::object::Fields;

const MAX_ITEMS: usize = 32;
const MAX_EXPRESSION: usize = 10 * 1024;
const MAX_PARAMETERS: usize = 10 * 1024;
const MAX_POOL: usize = 253;
const MAX_IDENTIFIER: usize = 32;
const IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
    alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is \
    '[A-Za-z_][A-Za-z0-9_]*')";

/// What selects devices: expressions.
fn check_selectors(object: &Value, path: &Path, errors: &mut Errors) {
    each(object, ("selectors", MAX_ITEMS), path, errors, |selector, path, errors| {
        let Some(cel) = selector.field("cel") else {
            errors.required(&path.child("cel"), "");
            return;
        };
        if cel.text("expression").len() > MAX_EXPRESSION {
            errors.too_long(&path.child("cel").child("expression"), MAX_EXPRESSION);
        }
    });
}

/// What a driver is told.
fn check_configuration(configuration: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("opaque");
    let Some(opaque) = configuration.field("opaque") else {
        errors.required(&path, "");
        return;
    };
    check_driver_name(opaque.text("driver"), &path.child("driver"), errors);
    check_raw(opaque.field("parameters"), &path.child("parameters"), errors);
}

/// Any JSON object that is not too large.
fn check_raw(raw: Option<&Value>, path: &Path, errors: &mut Errors) {
    match raw {
        None => errors.required(path, ""),
        Some(raw) if raw.to_json_bytes().len() > MAX_PARAMETERS => errors.too_long(path, MAX_PARAMETERS),
        Some(Value::Object(_)) => {}
        Some(_) => {
            errors.invalid(path, Shown::from("<value omitted>"), "must be a valid JSON object");
        }
    }
}

/// Subdomains separated by slashes.
fn check_pool(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    if name.len() > MAX_POOL {
        errors.too_long(path, MAX_POOL);
    }
    for part in name.split('/') {
        errors.subdomain(part, path);
    }
}

/// An identifier, with a domain before it or not.
fn check_name(name: &str, path: &Path, errors: &mut Errors) {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [name] => check_identifier(name, path, errors),
        [domain, name] => {
            if domain.is_empty() {
                errors.invalid(path, "", "the domain must not be empty");
            } else {
                check_driver_name(domain, path, errors);
            }
            if name.is_empty() {
                errors.invalid(path, "", "the name must not be empty");
            } else {
                check_identifier(name, path, errors);
            }
        }
        // Upstream does not look at names of more parts.
        _ => {}
    }
}

/// An identifier with a domain before it.
fn check_full_name(name: &str, path: &Path, errors: &mut Errors) {
    check_name(name, path, errors);
    if !name.contains('/') {
        errors.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

fn check_identifier(name: &str, path: &Path, errors: &mut Errors) {
    if name.len() > MAX_IDENTIFIER {
        errors.too_long(path, MAX_IDENTIFIER);
    }
    let first = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if !first || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
        errors.invalid(path, name, IDENTIFIER);
    }
}

fn check_toleration(toleration: &Value, path: &Path, errors: &mut Errors) {
    let text = |field: &str| toleration.text(field);
    let (key, operator, value, effect) = (text("key"), text("operator"), text("value"), text("effect"));
    if !key.is_empty() {
        errors.qualified(key, &path.child("key"));
    }
    match operator {
        "Exists" => {
            if !value.is_empty() {
                errors.invalid(&path.child("value"), value, "must be empty for operator `Exists`");
            }
        }
        "Equal" => errors.check(names::label_value(value), value, &path.child("value")),
        "" => errors.required(&path.child("operator"), ""),
        other => errors.unsupported(&path.child("operator"), other, &["Equal", "Exists"]),
    }
    if !effect.is_empty() {
        errors.one_of(effect, &path.child("effect"), &["NoExecute", "NoSchedule", "None"]);
    }
}

/// Checks each item of a list, unless there are too many.
fn each(
    object: &Value,
    (field, most): (&str, usize),
    path: &Path,
    errors: &mut Errors,
    mut check: impl FnMut(&Value, &Path, &mut Errors),
) {
    let (items, path) = (object.items(field), path.child(field));
    if items.len() > most {
        errors.too_many(&path, items.len(), most);
        return;
    }
    for (index, item) in items.iter().enumerate() {
        check(item, &path.index(index), errors);
    }
}

/// Reports the items of a list whose key another item has already, unless there are too many.
fn unique(
    object: &Value,
    (field, most): (&str, usize),
    path: &Path,
    errors: &mut Errors,
    key: impl Fn(&Value) -> &str,
) {
    let items = object.items(field);
    if items.len() > most {
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let own = key(item);
        if items[..index].iter().any(|other| key(other) == own) {
            errors.duplicate(&path.child(field).index(index), own);
        }
    }
}

/// The text itself.
fn itself(item: &Value) -> &str {
    item.as_str().unwrap_or_default()
}
