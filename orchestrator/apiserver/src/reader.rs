//! Reading the files that configure a server, strictly: errors name the field and what is wrong with it, all at once.

use wherry_schema::Value;
use wherry_schema::decode::kind_of;

use crate::validation::{Errors, Path};

/// Reads fields and remembers what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) errors: Errors,
    /// Whether what is told of mistakes leaves out what was written.
    discreet: bool,
}

impl Reader {
    /// A reader of what is not to be repeated.
    pub(crate) fn discreet() -> Self {
        Self { discreet: true, ..Self::default() }
    }

    /// Refuses fields that mean nothing, and what has no fields.
    pub(crate) fn known(&mut self, value: &Value, path: &Path, fields: &[&str]) {
        let Some(object) = value.as_object() else {
            self.wrong(value, path, "an object");
            return;
        };
        for name in object.keys().map(wherry_schema::Str::as_str) {
            if !fields.contains(&name) {
                self.errors.invalid_without_value(&path.child(name), "unknown field");
            }
        }
    }

    fn wrong(&mut self, value: &Value, path: &Path, wanted: &str) {
        let detail = format!("must be {wanted}, not {}", kind_of(value));
        if self.discreet {
            self.errors.invalid_without_value(path, &detail);
        } else {
            self.errors.wrong_type(path, value, &detail);
        }
    }

    /// The items of a list, none if it is missing.
    pub(crate) fn list<'v>(&mut self, value: &'v Value, path: &Path, name: &str) -> &'v [Value] {
        match value.get(name) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong(other, &path.child(name), "a list");
                &[]
            }
        }
    }

    /// The texts of a list.
    pub(crate) fn texts(&mut self, value: &Value, path: &Path, name: &str) -> Vec<String> {
        let items = self.list(value, path, name);
        let path = path.child(name);
        let mut texts = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => self.wrong(item, &path.index(at), "a string"),
            }
        }
        texts
    }

    /// A text, empty if it is missing.
    pub(crate) fn text(&mut self, value: &Value, path: &Path, name: &str) -> String {
        match value.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.as_str().to_owned(),
            Some(other) => {
                self.wrong(other, &path.child(name), "a string");
                String::new()
            }
        }
    }

    /// A truth value, if it is there.
    pub(crate) fn flag(&mut self, value: &Value, path: &Path, name: &str) -> Option<bool> {
        let given = value.get(name).filter(|value| !value.is_null())?;
        let flag = given.as_bool();
        if flag.is_none() {
            self.wrong(given, &path.child(name), "true or false");
        }
        flag
    }
}
