//! Reads documents strictly: whatever is not asked for is an error, and every error says where.

use std::cell::RefCell;
use std::fmt::Display;

use serde_json::{Map, Value};

/// What is wrong with a document.
#[derive(Debug, Default)]
pub(super) struct Errors(RefCell<Vec<String>>);

impl Errors {
    pub(super) fn invalid(&self, path: &str, value: impl Display, why: &str) {
        self.push(format!("{path}: Invalid value: {value}: {why}"));
    }

    pub(super) fn required(&self, path: &str, why: &str) {
        let colon = if why.is_empty() { "" } else { ": " };
        self.push(format!("{path}: Required value{colon}{why}"));
    }

    pub(super) fn duplicate(&self, path: &str, value: &str) {
        self.push(format!("{path}: Duplicate value: {value:?}"));
    }

    pub(super) fn forbidden(&self, path: &str, why: &str) {
        self.push(format!("{path}: Forbidden: {why}"));
    }

    pub(super) fn unsupported(&self, path: &str, value: &str, supported: &[&str]) {
        let supported: Vec<_> = supported.iter().map(|value| format!("{value:?}")).collect();
        self.push(format!(
            "{path}: Unsupported value: {value:?}: supported values: {}",
            supported.join(", ")
        ));
    }

    /// A number that must lie between these, both included.
    pub(super) fn within(&self, path: &str, value: i64, (least, most): (i64, i64)) {
        if !(least..=most).contains(&value) {
            self.invalid(path, value, &format!("not in valid range [{least}, {most}]"));
        }
    }

    pub(super) fn push(&self, error: String) {
        self.0.borrow_mut().push(error);
    }

    pub(super) fn take(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// The fields of an object that nobody asked for yet. Those left when it is dropped are unknown.
pub(super) struct Fields<'e> {
    path: String,
    left: Map<String, Value>,
    pub(super) errors: &'e Errors,
}

impl<'e> Fields<'e> {
    pub(super) fn new(path: String, value: Value, errors: &'e Errors) -> Self {
        let left = match value {
            Value::Object(fields) => fields,
            other => {
                errors.invalid(
                    if path.is_empty() { "<document>" } else { &path },
                    &other,
                    "must be an object",
                );
                Map::new()
            }
        };
        Self { path, left, errors }
    }

    /// Where a field is.
    pub(super) fn at(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// A field of any kind; null is as if it were not there.
    pub(super) fn value(&mut self, field: &str) -> Option<Value> {
        self.left.remove(field).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        self.typed(field, "must be a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn int(&mut self, field: &str) -> Option<i64> {
        self.typed(field, "must be a whole number", Value::as_i64)
    }

    pub(super) fn flag(&mut self, field: &str) -> Option<bool> {
        self.typed(field, "must be true or false", Value::as_bool)
    }

    pub(super) fn texts(&mut self, field: &str) -> Vec<String> {
        let read = |value: &Value| {
            let items = value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned));
            items.collect::<Option<Vec<_>>>()
        };
        self.typed(field, "must be a list of strings", read).unwrap_or_default()
    }

    pub(super) fn object(&mut self, field: &str) -> Option<Self> {
        let path = self.at(field);
        self.value(field).map(|value| Self::new(path, value, self.errors))
    }

    pub(super) fn objects(&mut self, field: &str) -> Vec<Self> {
        let path = self.at(field);
        let items =
            self.typed(field, "must be a list", |value| value.as_array().cloned()).unwrap_or_default();
        let items = items.into_iter().enumerate();
        items.map(|(at, value)| Self::new(format!("{path}[{at}]"), value, self.errors)).collect()
    }

    fn typed<T>(&mut self, field: &str, why: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.value(field)?;
        let found = read(&value);
        if found.is_none() {
            self.errors.invalid(&self.at(field), value, why);
        }
        found
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        for field in self.left.keys() {
            self.errors.push(format!("strict decoding error: unknown field {:?}", self.at(field)));
        }
    }
}
