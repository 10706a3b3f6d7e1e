//! Numbers, amounts and choices: the small rules every kind is made of.

use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use super::{Errors, Path};
use crate::object::Fields;

/// The detail of a number below zero.
pub(crate) const NEGATIVE: &str = "must be greater than or equal to 0";
/// The detail of a change of what may not change.
pub(crate) const IMMUTABLE: &str = "field is immutable";

/// Refuses negative numbers in fields of `value`.
pub(crate) fn non_negative(value: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if let Some(number) = value.int(field).filter(|n| *n < 0) {
            errors.invalid(&path.child(field), number, NEGATIVE);
        }
    }
}

/// Refuses a status that counts fewer collisions of names than it did.
pub(crate) fn collisions(object: &Value, old: &Value, errors: &mut Errors) {
    let count = |object: &Value| object.int("status.collisionCount");
    if let Some(before) = count(old)
        && count(object).is_none_or(|now| now < before)
    {
        let path = Path::new("status.collisionCount");
        errors.invalid(&path, count(object).unwrap_or(0), "cannot be decremented");
    }
}

/// Refuses a number outside of a range.
pub(crate) fn in_range(number: i64, (low, high): (i64, i64), path: &Path, errors: &mut Errors) {
    if !(low..=high).contains(&number) {
        errors.invalid(path, number, &format!("must be between {low} and {high}, inclusive"));
    }
}

/// Refuses an empty text in a field.
pub(crate) fn required(value: &Value, field: &str, path: &Path, errors: &mut Errors) -> bool {
    let empty = value.text(field).is_empty();
    if empty {
        errors.required(&path.child(field), "");
    }
    !empty
}

/// Refuses a field that is none of the choices, if it is there.
pub(crate) fn choice(value: &Value, field: &str, supported: &[&str], path: &Path, errors: &mut Errors) {
    if let Some(text) = value.field(field).and_then(Value::as_str).filter(|text| !supported.contains(text)) {
        errors.unsupported(&path.child(field), text, supported);
    }
}

/// Refuses a field that is none of the choices or empty.
pub(crate) fn required_choice(
    value: &Value,
    field: &str,
    supported: &[&str],
    path: &Path,
    errors: &mut Errors,
) {
    if required(value, field, path, errors) {
        choice(value, field, supported, path, errors);
    }
}

/// Refuses a change of a field.
pub(crate) fn immutable(object: &Value, old: &Value, field: &str, errors: &mut Errors) {
    if !crate::object::same(object, old, field) {
        errors.invalid(&Path::new(field), object.field(field).unwrap_or(&Value::Null), IMMUTABLE);
    }
}

/// A field that holds an amount.
pub(crate) fn quantity(value: &Value, field: &str) -> Option<Quantity> {
    value.field(field).and_then(amount)
}

/// A value that is an amount.
pub(crate) fn amount(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

/// The amounts of a list of resources, by name.
pub(crate) fn amounts(list: Option<&Object>) -> impl Iterator<Item = (&str, Quantity)> {
    let pairs = list.into_iter().flat_map(Object::iter);
    pairs.filter_map(|(name, value)| Some((name.as_str(), amount(value)?)))
}

/// An amount of a list of resources.
pub(crate) fn amount_of(list: Option<&Object>, name: &str) -> Option<Quantity> {
    list?.get(name).and_then(amount)
}

/// The percentage a text says.
pub(crate) fn percent(value: &Value) -> Option<i64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(i64::MAX))
}

/// The rules of a number or percentage.
pub(crate) fn int_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    match (value.as_str(), value.as_i64()) {
        (Some(text), _) if percent(value).is_none() => errors.invalid(
            path,
            text,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
             used for validation is '[0-9]+%')",
        ),
        (None, Some(number)) if number < 0 => errors.invalid(path, number, NEGATIVE),
        _ => {}
    }
}

/// Refuses more than all.
pub(crate) fn at_most_all(value: &Value, path: &Path, errors: &mut Errors) {
    if percent(value).is_some_and(|percent| percent > 100) {
        errors.invalid(path, value, "must not be greater than 100%");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::kinds::told;

    #[rstest]
    #[case(json!(2), json!(2), "")]
    #[case(json!(null), json!(2), "")]
    #[case(json!(2), json!(1), "status.collisionCount: Invalid value: 1: cannot be decremented")]
    #[case(json!(2), json!(null), "status.collisionCount: Invalid value: 0: cannot be decremented")]
    fn collisions_are_never_counted_down(#[case] old: Value, #[case] new: Value, #[case] error: &str) {
        for resource in ["deployments.apps", "statefulsets.apps", "daemonsets.apps"] {
            let object = |count: &Value| json!({"status": {"collisionCount": count}});
            assert_eq!(told::of_status(resource, object(&old), object(&new)), error, "{resource}");
        }
    }
}
