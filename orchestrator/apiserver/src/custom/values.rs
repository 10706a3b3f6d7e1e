//! What is wrong with a value by its schema, in upstream's words.
//!
//! Each part of a value is named by a path from the value that is checked (`b[0].c`), and reported at that path below
//! the path of the value itself.

use wherry_schema::Value;
use wherry_schema::structural::{Bound, Conditions, Nested, Structural, Type, Types};

use crate::validation::{Errors, Path, Shown};

/// A part of a value: its path from the value, and where the value is.
#[derive(Clone)]
struct Place<'a> {
    name: String,
    root: &'a Path,
}

impl Place<'_> {
    fn field(&self, field: &str) -> Self {
        let name = if self.name.is_empty() { field.to_owned() } else { format!("{}.{field}", self.name) };
        Self { name, root: self.root }
    }

    fn item(&self, index: usize) -> Self {
        Self { name: format!("{}[{index}]", self.name), root: self.root }
    }

    fn path(&self) -> Path {
        if self.name.is_empty() { self.root.clone() } else { self.root.child(&self.name) }
    }

    fn refuse(&self, value: &Value, rule: &str, errors: &mut Errors) {
        errors.invalid(&self.path(), value, &format!("{} in body {rule}", self.name));
    }
}

/// Reports what is wrong with a value.
pub(crate) fn check(schema: &Structural, value: &Value, path: &Path, errors: &mut Errors) {
    schema.check_at(value, &Place { name: String::new(), root: path }, errors);
}

/// What holds values to a schema.
trait Check {
    fn check_at(&self, value: &Value, place: &Place<'_>, errors: &mut Errors);

    fn fits(&self, value: &Value, place: &Place<'_>) -> bool {
        let mut errors = Errors::default();
        self.check_at(value, place, &mut errors);
        errors.is_empty()
    }
}

impl Check for Structural {
    fn check_at(&self, value: &Value, place: &Place<'_>, errors: &mut Errors) {
        let types: &[Type] = match &self.types {
            Types::Any => &[],
            Types::One(kind) => std::slice::from_ref(kind),
            Types::IntOrString => &[Type::Integer, Type::String],
        };
        let null = value.is_null();
        if !(null && self.nullable) {
            check_type(value, types, place, errors);
        }
        if null {
            return;
        }
        self.conditions.check_at(value, place, errors);
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = &self.items {
                        schema.check_at(item, &place.item(index), errors);
                    }
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields.iter() {
                    if let Some(schema) = self.field(name) {
                        schema.check_at(value, &place.field(name), errors);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Check for Nested {
    fn check_at(&self, value: &Value, place: &Place<'_>, errors: &mut Errors) {
        check_type(value, self.kind.as_slice(), place, errors);
        self.conditions.check_at(value, place, errors);
        if let (Value::Array(items), Some(schema)) = (value, &self.items) {
            for (index, item) in items.iter().enumerate() {
                schema.check_at(item, &place.item(index), errors);
            }
        }
        for (name, schema) in &self.properties {
            if let Some(value) = value.get(name) {
                schema.check_at(value, &place.field(name), errors);
            }
        }
    }
}

impl Check for Conditions {
    fn check_at(&self, value: &Value, place: &Place<'_>, errors: &mut Errors) {
        check_junctors(self, value, place, errors);
        match value {
            Value::String(text) => check_text(self, (text, value), place, errors),
            Value::Int(_) | Value::Float(_) => {
                if let Some(number) = value.as_f64() {
                    check_number(self, (number, value), place, errors);
                }
            }
            Value::Array(items) => {
                if let Some(least) = self.min_items.filter(|least| items.len() < *least) {
                    place.refuse(value, &format!("should have at least {least} items"), errors);
                }
                if let Some(most) = self.max_items.filter(|most| items.len() > *most) {
                    errors.too_many(&place.path(), items.len(), most);
                }
            }
            Value::Object(fields) => check_fields(self, (fields.len(), value), place, errors),
            Value::Null | Value::Bool(_) => {}
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            let show = |choice: &Value| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned);
            let choices: Vec<String> = self.choices.iter().map(show).collect();
            let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
            errors.unsupported(&place.path(), value, &choices);
        }
    }
}

fn check_text(of: &Conditions, (text, value): (&str, &Value), place: &Place<'_>, errors: &mut Errors) {
    let length = text.chars().count();
    if let Some(most) = of.max_length.filter(|most| length > *most) {
        errors.too_long(&place.path(), most);
    }
    if let Some(least) = of.min_length.filter(|least| length < *least) {
        place.refuse(value, &format!("should be at least {least} chars long"), errors);
    }
    if let Some(pattern) = of.pattern.as_ref().filter(|pattern| !pattern.is_in(text)) {
        place.refuse(value, &format!("should match '{}'", pattern.text()), errors);
    }
}

fn check_number(of: &Conditions, (number, value): (f64, &Value), place: &Place<'_>, errors: &mut Errors) {
    if let Some(unit) = of.multiple_of.filter(|unit| *unit > 0.0) {
        let times = number / unit;
        if (times - times.round()).abs() > f64::EPSILON * times.abs().max(1.0) {
            place.refuse(value, &format!("should be a multiple of {unit}"), errors);
        }
    }
    if let Some(Bound { limit, exclusive }) = of.maximum
        && (number > limit || (exclusive && number >= limit))
    {
        let how = if exclusive { "less than" } else { "less than or equal to" };
        place.refuse(value, &format!("should be {how} {limit}"), errors);
    }
    if let Some(Bound { limit, exclusive }) = of.minimum
        && (number < limit || (exclusive && number <= limit))
    {
        let how = if exclusive { "greater than" } else { "greater than or equal to" };
        place.refuse(value, &format!("should be {how} {limit}"), errors);
    }
}

fn check_fields(of: &Conditions, (count, value): (usize, &Value), place: &Place<'_>, errors: &mut Errors) {
    if let Some(least) = of.min_properties.filter(|least| count < *least) {
        place.refuse(value, &format!("should have at least {least} properties"), errors);
    }
    if let Some(most) = of.max_properties.filter(|most| count > *most) {
        errors.too_many(&place.path(), count, most);
    }
    for name in of.required.iter().filter(|name| value.get(name).is_none()) {
        errors.required(&place.field(name).path(), "");
    }
}

fn check_junctors(of: &Conditions, value: &Value, place: &Place<'_>, errors: &mut Errors) {
    let name = &place.name;
    let mut refuse = |rule: String| errors.invalid(place.root, "", &format!("{name:?} must {rule}"));
    let fitting = |nested: &[Nested]| nested.iter().filter(|nested| nested.fits(value, place)).count();
    if !of.any_of.is_empty() && fitting(&of.any_of) == 0 {
        refuse("validate at least one schema (anyOf)".to_owned());
    }
    match fitting(&of.one_of) {
        1 => {}
        _ if of.one_of.is_empty() => {}
        0 => refuse("validate one and only one schema (oneOf). Found none valid".to_owned()),
        some => {
            refuse(format!("validate one and only one schema (oneOf). Found {some} valid alternatives"));
        }
    }
    match fitting(&of.all_of) {
        all if all == of.all_of.len() => {}
        0 => refuse("validate all the schemas (allOf). None validated".to_owned()),
        _ => refuse("validate all the schemas (allOf)".to_owned()),
    }
    if of.not.as_ref().is_some_and(|not| not.fits(value, place)) {
        refuse("not validate the schema (not)".to_owned());
    }
    for nested in &of.all_of {
        nested.check_at(value, place, errors);
    }
}

/// Reports a value that is of none of these types. Without any, everything fits.
fn check_type(value: &Value, types: &[Type], place: &Place<'_>, errors: &mut Errors) {
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let (found, fits): (&str, &[Type]) = match value {
        Value::Null => ("null", &[]),
        Value::Bool(_) => ("boolean", &[Type::Boolean]),
        Value::Int(_) => ("integer", &[Type::Integer, Type::Number]),
        Value::Float(_) if whole => ("number", &[Type::Integer, Type::Number]),
        Value::Float(_) => ("number", &[Type::Number]),
        Value::String(_) => ("string", &[Type::String]),
        Value::Array(_) => ("array", &[Type::Array]),
        Value::Object(_) => ("object", &[Type::Object]),
    };
    if !types.is_empty() && !types.iter().any(|kind| fits.contains(kind)) {
        let wanted: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
        let detail = format!("{} in body must be of type {}: {found:?}", place.name, wanted.join(","));
        errors.wrong_type(&place.path(), Shown::from(found), &detail);
    }
}
