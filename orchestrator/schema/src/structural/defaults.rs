//! Filling in defaults, and dropping nulls where there may be none.

use super::Structural;
use crate::value::{Str, Value};

impl Structural {
    /// Fills in what is missing, or null where null means nothing, in everything that is there.
    pub fn complete(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    if let (Some(default), None) = (&schema.default, fields.get(name)) {
                        fields.insert(Str::from(name.as_str()), default.clone());
                    }
                }
                for (name, value) in fields.iter_mut() {
                    if let Some(schema) = self.field(name) {
                        schema.complete_here(value);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    if let Some(schema) = &self.items {
                        schema.complete_here(item);
                    }
                }
            }
            _ => {}
        }
    }

    fn complete_here(&self, value: &mut Value) {
        if let (true, false, Some(default)) = (value.is_null(), self.nullable, &self.default) {
            *value = default.clone();
        }
        self.complete(value);
    }

    /// Removes the null fields that may neither be null nor have a default.
    pub fn drop_nulls(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.retain(|name, value| {
                let Some(schema) = self.field(name) else { return true };
                let stays = !value.is_null() || schema.nullable || schema.default.is_some();
                schema.drop_nulls(value);
                stays
            }),
            Value::Array(items) => {
                for item in items {
                    if let Some(schema) = &self.items {
                        schema.drop_nulls(item);
                    }
                }
            }
            _ => {}
        }
    }
}
