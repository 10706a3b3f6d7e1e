//! The metadata of objects, those embedded in others included: always read as that of built-in kinds.

use super::Structural;
use crate::decode::{DecodeError, FieldValidation, conform};
use crate::schema::Schemas;
use crate::value::Value;

impl Structural {
    /// Reads the metadata of every embedded object, and drops what metadata does not have. Answers where that was.
    pub(crate) fn read_embedded(&self, object: &mut Value) -> Result<Vec<String>, DecodeError> {
        let mut unknown = Vec::new();
        self.read_inner(object, "", &mut unknown)?;
        unknown.sort();
        Ok(unknown)
    }

    fn read_inner(
        &self,
        value: &mut Value,
        path: &str,
        unknown: &mut Vec<String>,
    ) -> Result<(), DecodeError> {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    let dot = if path.is_empty() { "" } else { "." };
                    let at = |name: &str| format!("{path}{dot}{name}");
                    if self.embedded {
                        read_own(name, value, &at(name), unknown)?;
                    }
                    if let Some(schema) = self.field(name).filter(|_| holds_more(value)) {
                        schema.read_inner(value, &at(name), unknown)?;
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate().filter(|(_, item)| holds_more(item)) {
                    if let Some(schema) = &self.items {
                        schema.read_inner(item, &format!("{path}[{index}]"), unknown)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn holds_more(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

/// Reads a field that every object has.
fn read_own(name: &str, value: &mut Value, path: &str, unknown: &mut Vec<String>) -> Result<(), DecodeError> {
    let unfit = |value: &Value, detail: &str| {
        DecodeError::Content(format!("{path}: Invalid value: {value}: {detail}"))
    };
    match name {
        "apiVersion" | "kind" if value.as_str().is_none() => Err(unfit(value, "must be a string")),
        "metadata" => {
            let schema = Schemas::metadata();
            let read = conform(value, schema, FieldValidation::Warn);
            let (metadata, found) = read.map_err(|error| unfit(value, &error.to_string()))?;
            unknown.extend(found.iter().map(|message| format!("{path}.{}", within(message))));
            *value = metadata;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The path in a message about an unknown field.
fn within(message: &str) -> &str {
    message.split('"').nth(1).unwrap_or(message)
}
