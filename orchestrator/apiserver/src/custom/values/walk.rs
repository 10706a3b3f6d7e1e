//! What is wrong with a value by its schema, in upstream's words.
//!
//! Each part of a value is named by a path from the value that is checked (`b[0].c`), and reported at that path below
//! the path of the value itself. On an update, what was wrong before and did not change is let through: the old value of
//! each part is walked along where it can be told which that is.

use std::fmt::Write;

use wherry_schema::Value;
use wherry_schema::structural::{Additional, ListType, Nested, Structural, Type, Types};

use super::conditions;
use crate::validation::{Errors, Path, Shown};

/// A part of a value. What it is called is put together only when something is wrong with it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    around: Option<&'a Place<'a>>,
    step: Step<'a>,
    /// Where the value is.
    pub(super) root: &'a Path,
}

/// The way to a part from what is around it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Whole,
    Field(&'a str),
    Item(usize),
}

impl<'a> Place<'a> {
    fn whole(root: &'a Path) -> Self {
        Self { around: None, step: Step::Whole, root }
    }

    pub(super) fn field(&'a self, field: &'a str) -> Self {
        Self { around: Some(self), step: Step::Field(field), root: self.root }
    }

    fn item(&'a self, index: usize) -> Self {
        Self { around: Some(self), step: Step::Item(index), root: self.root }
    }

    /// The path from the value.
    pub(super) fn name(&self) -> String {
        let mut name = self.around.map(Place::name).unwrap_or_default();
        match self.step {
            Step::Whole => {}
            Step::Field(field) => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(field);
            }
            Step::Item(index) => write!(name, "[{index}]").expect("a String takes everything"),
        }
        name
    }

    pub(super) fn path(&self) -> Path {
        match self.name().as_str() {
            "" => self.root.clone(),
            name => self.root.child(name),
        }
    }

    pub(super) fn refuse(&self, value: &Value, rule: &str, errors: &mut Errors) {
        errors.invalid(&self.path(), value, &format!("{} in body {rule}", self.name()));
    }
}

/// Reports what is wrong with a value.
pub(crate) fn check(schema: &Structural, value: &Value, path: &Path, errors: &mut Errors) {
    check_at(schema, value, &Place::whole(path), errors);
}

/// Reports what is wrong with a value and was not wrong before.
pub(crate) fn check_update(
    schema: &Structural,
    (value, old): (&Value, &Value),
    path: &Path,
    errors: &mut Errors,
) {
    check_changed(schema, (value, Some(old)), &Place::whole(path), errors);
}

fn check_at(schema: &Structural, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    check_changed(schema, (value, None), place, errors);
}

fn check_changed(
    schema: &Structural,
    (value, old): (&Value, Option<&Value>),
    place: &Place<'_>,
    errors: &mut Errors,
) {
    let mut found = Errors::default();
    check_whole(schema, (value, old), place, &mut found);
    if !found.is_empty() && !old.is_some_and(|old| is_unchanged(schema, value, old)) {
        errors.append(found);
    }
}

/// The order in which upstream's validators run.
fn check_whole(
    schema: &Structural,
    (value, old): (&Value, Option<&Value>),
    place: &Place<'_>,
    errors: &mut Errors,
) {
    let types: &[Type] = match &schema.types {
        Types::Any => &[],
        Types::One(kind) => std::slice::from_ref(kind),
        Types::IntOrString => &[Type::Integer, Type::String],
    };
    let conditions = &schema.conditions;
    if !(value.is_null() && schema.nullable) {
        check_type(value, types, conditions.format.as_deref(), place, errors);
    }
    if value.is_null() {
        conditions::check_choices(conditions, value, place, errors);
        return;
    }
    conditions::check_before(conditions, value, place, errors);
    if let (Value::Array(items), Some(inner)) = (value, &schema.items) {
        for (index, item) in items.iter().enumerate() {
            let before = old.and_then(|old| old_item(schema, old, index, item));
            check_changed(inner, (item, before), &place.item(index), errors);
        }
    }
    conditions::check_after(conditions, value, place, errors);
    for (name, value) in value.as_object().into_iter().flat_map(wherry_schema::Object::iter) {
        if let Some(inner) = schema.field(name) {
            check_changed(inner, (value, old.and_then(|old| old.get(name))), &place.field(name), errors);
        }
    }
}

/// The old value of an item, if it can be told which it is.
pub(crate) fn old_item<'v>(
    schema: &Structural,
    old: &'v Value,
    index: usize,
    item: &Value,
) -> Option<&'v Value> {
    let old = old.as_array()?;
    match &schema.list_type {
        ListType::Map(keys) => old
            .iter()
            .find(|old| keys.iter().all(|key| old.get(key) == item.get(key)) && old.as_object().is_some()),
        ListType::Atomic | ListType::Set => None,
        ListType::Unsaid => old.get(index),
    }
}

/// Whether a part is what it was, as far as upstream compares: what no schema describes, and items that have no old
/// value, count as changed.
pub(super) fn is_unchanged(schema: &Structural, value: &Value, old: &Value) -> bool {
    match (value, old) {
        (Value::Array(items), Value::Array(before)) => {
            items.len() == before.len()
                && items.iter().enumerate().all(|(index, item)| {
                    let before = old_item(schema, old, index, item);
                    before.zip(schema.items.as_deref()).is_some_and(|(b, inner)| is_unchanged(inner, item, b))
                })
        }
        (Value::Object(fields), Value::Object(before)) => {
            fields.len() == before.len()
                && fields.iter().all(|(name, value)| {
                    let before = before.get(name);
                    before.zip(schema.field(name)).is_some_and(|(b, inner)| is_unchanged(inner, value, b))
                })
        }
        _ => value == old,
    }
}

/// Reports what is wrong with a value by a condition within a condition.
pub(super) fn check_nested(schema: &Nested, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    check_type(value, schema.kind.as_slice(), None, place, errors);
    if value.is_null() {
        conditions::check_choices(&schema.conditions, value, place, errors);
        return;
    }
    conditions::check_before(&schema.conditions, value, place, errors);
    if let (Value::Array(items), Some(inner)) = (value, &schema.items) {
        for (index, item) in items.iter().enumerate() {
            check_nested(inner, item, &place.item(index), errors);
        }
    }
    conditions::check_after(&schema.conditions, value, place, errors);
    for (name, inner) in &schema.properties {
        if let Some(value) = value.get(name) {
            check_nested(inner, value, &place.field(name), errors);
        }
    }
}

/// How many checks a condition makes of a value: of alternatives that all fail, the one that makes most is told of.
pub(super) fn weight(schema: &Nested, value: &Value) -> usize {
    let own = usize::from(schema.kind.is_some()) + if value.is_null() { 2 } else { 4 };
    let items = value.as_array().into_iter().flatten();
    let items: usize = items.filter_map(|item| Some(weight(schema.items.as_deref()?, item))).sum();
    let fields = schema.properties.iter();
    let fields: usize = fields.filter_map(|(name, inner)| Some(weight(inner, value.get(name)?))).sum();
    own + items + fields
}

/// Reports a value that is of none of these types. Without any, everything fits.
fn check_type(value: &Value, types: &[Type], format: Option<&str>, place: &Place<'_>, errors: &mut Errors) {
    if types.is_empty() {
        return;
    }
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let (found, found_format, fits): (&str, &str, &[Type]) = match value {
        Value::Null => ("null", "", &[]),
        Value::Bool(_) => ("boolean", "", &[Type::Boolean]),
        Value::Int(_) => ("integer", "int64", &[Type::Integer, Type::Number]),
        Value::Float(_) if whole => ("number", "float64", &[Type::Integer, Type::Number]),
        Value::Float(_) => ("number", "float64", &[Type::Number]),
        Value::String(_) => ("string", "", &[Type::String]),
        Value::Array(_) => ("array", "", &[Type::Array]),
        Value::Object(_) => ("object", "", &[Type::Object]),
    };
    if types.iter().any(|kind| fits.contains(kind)) {
        return;
    }
    let text = matches!(value, Value::String(_) | Value::Array(_));
    let number = types.iter().any(|kind| matches!(kind, Type::Integer | Type::Number));
    let (wanted, found) = match format.filter(|format| !format.is_empty() && !value.is_null()) {
        // A format says enough of what is wanted; of texts only that it is none.
        Some(_) if text && !number => return,
        Some(format) if !text => (format.to_owned(), found_format),
        _ => (types.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","), found),
    };
    let detail = format!("{} in body must be of type {wanted}: {found:?}", place.name());
    errors.wrong_type(&place.path(), Shown::from(found), &detail);
}

/// Whether the schema says anything of fields that have no name.
pub(super) fn other_fields(schema: &Structural) -> Option<&Structural> {
    match &schema.additional {
        Additional::Of(inner) => Some(inner),
        Additional::None | Additional::Any => None,
    }
}
