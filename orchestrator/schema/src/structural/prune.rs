//! Removing from a value what its schema does not know.

use std::fmt::Write;

use super::{Additional, OF_EVERY_OBJECT, Structural};
use crate::value::{Object, Value};

impl Structural {
    /// Removes the fields of an object that the schema does not describe, unless it keeps them. Answers where they were,
    /// in the order of their paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut pruning = Pruning { path: String::new(), removed: Vec::new() };
        pruning.root(object, self);
        pruning.removed.sort();
        pruning.removed
    }

    /// Whether the value of a field has nothing that the schema does not describe.
    pub fn knows_all_of(&self, value: &Value) -> bool {
        let mut pruning = Pruning { path: String::new(), removed: Vec::new() };
        pruning.value(&mut value.clone(), Some(self), self.keeps_unknown);
        pruning.removed.is_empty()
    }
}

struct Pruning {
    /// Where the walk is.
    path: String,
    /// What was removed.
    removed: Vec<String>,
}

impl Pruning {
    fn root(&mut self, object: &mut Value, schema: &Structural) {
        if let Value::Object(fields) = object {
            self.fields(fields, Some(schema), (schema.keeps_unknown, true));
        }
    }

    /// Nothing is described by no schema. What lies in a list that keeps unknown fields keeps them too.
    fn value(&mut self, value: &mut Value, schema: Option<&Structural>, keeps: bool) {
        match value {
            Value::Object(fields) => {
                self.fields(fields, schema, (keeps, schema.is_some_and(|schema| schema.embedded)));
            }
            Value::Array(items) => {
                let inner = schema.and_then(|schema| schema.items.as_deref());
                if keeps && inner.is_none() {
                    return;
                }
                let keeps = keeps || inner.is_some_and(|inner| inner.keeps_unknown);
                for (index, item) in items.iter_mut().enumerate() {
                    let outer = self.path.len();
                    write!(self.path, "[{index}]").expect("a String takes everything");
                    self.value(item, inner, keeps);
                    self.path.truncate(outer);
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, fields: &mut Object, schema: Option<&Structural>, (keeps, whole): (bool, bool)) {
        fields.retain(|name, value| {
            if whole && OF_EVERY_OBJECT.contains(&name) {
                return true;
            }
            let outer = self.path.len();
            if outer > 0 {
                self.path.push('.');
            }
            self.path.push_str(name);
            let described = schema.is_some_and(|schema| {
                schema.properties.contains_key(name) || schema.additional != Additional::None
            });
            if described {
                let inner = schema.and_then(|schema| schema.field(name));
                self.value(value, inner, inner.is_some_and(|inner| inner.keeps_unknown));
            } else if !keeps {
                self.removed.push(self.path.clone());
            }
            self.path.truncate(outer);
            described || keeps
        });
    }
}
