//! Conditions on a value besides its type: lengths, bounds, patterns, choices, and conditions of conditions.

use wherry_schema::Value;
use wherry_schema::structural::{Bound, Conditions, Nested};

use super::formats;
use super::walk::{Place, check_nested, weight};
use crate::validation::{Errors, Shown};

/// What is checked before the items of a list.
pub(super) fn check_before(of: &Conditions, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    check_junctors(of, value, place, errors);
    match value {
        Value::String(text) => {
            check_text(of, (text, value), place, errors);
            check_format(of, text, place, errors);
        }
        Value::Int(_) | Value::Float(_) => check_number(of, value, place, errors),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
    }
}

/// What is checked between the items of a list and the fields of an object.
pub(super) fn check_after(of: &Conditions, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    if let Value::Array(items) = value {
        if let Some(least) = of.min_items.filter(|least| items.len() < *least) {
            let rule = format!("should have at least {least} items");
            refuse_count(items.len(), &rule, place, errors);
        }
        if let Some(most) = of.max_items.filter(|most| items.len() > *most) {
            errors.too_many(&place.path(), items.len(), most);
        }
    }
    check_choices(of, value, place, errors);
    if let Value::Object(fields) = value {
        check_fields(of, fields.len(), value, place, errors);
    }
}

/// Reports a value that is none of those allowed.
pub(super) fn check_choices(of: &Conditions, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    let same = |choice: &Value| match (choice.as_f64(), value.as_f64()) {
        (Some(choice), Some(number)) => choice.total_cmp(&number).is_eq(),
        _ => choice == value && !choice.is_null(),
    };
    if of.choices.is_empty() || of.choices.iter().any(same) {
        return;
    }
    let show = |choice: &Value| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned);
    let choices: Vec<String> = of.choices.iter().map(show).collect();
    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
    errors.unsupported(&place.path(), value, &choices);
}

fn refuse_count(count: usize, rule: &str, place: &Place<'_>, errors: &mut Errors) {
    errors.invalid(&place.path(), Shown::raw(count.to_string()), &format!("{} in body {rule}", place.name()));
}

/// Only the first rule that a text breaks is told.
fn check_text(of: &Conditions, (text, value): (&str, &Value), place: &Place<'_>, errors: &mut Errors) {
    let length = text.chars().count();
    if let Some(most) = of.max_length.filter(|most| length > *most) {
        errors.too_long(&place.path(), most);
    } else if let Some(least) = of.min_length.filter(|least| length < *least) {
        place.refuse(value, &format!("should be at least {least} chars long"), errors);
    } else if let Some(pattern) = of.pattern.as_ref().filter(|pattern| !pattern.is_in(text)) {
        place.refuse(value, &format!("should match '{}'", pattern.text()), errors);
    }
}

fn check_format(of: &Conditions, text: &str, place: &Place<'_>, errors: &mut Errors) {
    if let Some(format) = of.format.as_deref().filter(|format| !formats::fits(format, text)) {
        let detail = format!("{} in body must be of type {format}: {text:?}", place.name());
        errors.wrong_type(&place.path(), text, &detail);
    }
}

fn check_number(of: &Conditions, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    let Some(number) = value.as_f64() else { return };
    if let Some(unit) = of.multiple_of.filter(|unit| *unit > 0.0) {
        let times = number / unit;
        if (times - times.round()).abs() > f64::EPSILON * times.abs().max(1.0) {
            place.refuse(value, &format!("should be a multiple of {unit}"), errors);
        }
    }
    if let Some(Bound { limit, exclusive }) = of.minimum
        && (number < limit || (exclusive && number <= limit))
    {
        let how = if exclusive { "greater than" } else { "greater than or equal to" };
        place.refuse(value, &format!("should be {how} {limit}"), errors);
    }
    if let Some(Bound { limit, exclusive }) = of.maximum
        && (number > limit || (exclusive && number >= limit))
    {
        let how = if exclusive { "less than" } else { "less than or equal to" };
        place.refuse(value, &format!("should be {how} {limit}"), errors);
    }
}

fn check_fields(of: &Conditions, count: usize, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    if let Some(least) = of.min_properties.filter(|least| count < *least) {
        refuse_count(count, &format!("should have at least {least} properties"), place, errors);
    }
    if let Some(most) = of.max_properties.filter(|most| count > *most) {
        errors.too_many(&place.path(), count, most);
    }
    for name in of.required.iter().filter(|name| value.get(name).is_none()) {
        errors.required(&place.field(name).path(), "");
    }
}

/// What each alternative finds wrong, and how many find nothing.
fn try_all(nested: &[Nested], value: &Value, place: &Place<'_>) -> (Vec<Errors>, usize) {
    let found: Vec<Errors> = nested
        .iter()
        .map(|nested| {
            let mut errors = Errors::default();
            check_nested(nested, value, place, &mut errors);
            errors
        })
        .collect();
    let fitting = found.iter().filter(|errors| errors.is_empty()).count();
    (found, fitting)
}

/// What the alternative that comes closest finds wrong.
fn closest(nested: &[Nested], found: Vec<Errors>, value: &Value) -> Errors {
    let weights = nested.iter().map(|nested| weight(nested, value));
    let best = weights.zip(found).rev().max_by_key(|(weight, _)| *weight);
    best.map(|(_, errors)| errors).unwrap_or_default()
}

fn check_junctors(of: &Conditions, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    let refuse = |rule: &str, errors: &mut Errors| {
        errors.invalid(place.root, "", &format!("{:?} must {rule}", place.name()));
    };
    if !of.any_of.is_empty() {
        let (found, fitting) = try_all(&of.any_of, value, place);
        if fitting == 0 {
            refuse("validate at least one schema (anyOf)", errors);
            errors.append(closest(&of.any_of, found, value));
        }
    }
    if !of.one_of.is_empty() {
        let (found, fitting) = try_all(&of.one_of, value, place);
        if fitting == 0 {
            refuse("validate one and only one schema (oneOf). Found none valid", errors);
            errors.append(closest(&of.one_of, found, value));
        } else if fitting > 1 {
            let told = format!("Found {fitting} valid alternatives");
            refuse(&format!("validate one and only one schema (oneOf). {told}"), errors);
        }
    }
    let (found, fitting) = try_all(&of.all_of, value, place);
    for found in found {
        errors.append(found);
    }
    if fitting == 0 && !of.all_of.is_empty() {
        refuse("validate all the schemas (allOf). None validated", errors);
    } else if fitting < of.all_of.len() {
        refuse("validate all the schemas (allOf)", errors);
    }
    if let Some(not) = &of.not
        && try_all(std::slice::from_ref(&**not), value, place).1 == 1
    {
        refuse("not validate the schema (not)", errors);
    }
}
