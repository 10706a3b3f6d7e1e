//! Removing from a value what its schema does not know.

use wherry_schema::Value;

use super::{Additional, Structural};

/// What every object of a kind of its own has, whatever its schema says.
const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Structural {
    /// Removes fields that the schema does not describe, unless it keeps them.
    pub(in super::super) fn prune(&self, value: &mut Value) {
        match value {
            Value::Array(items) => {
                let nothing = Self { keeps_unknown: self.keeps_unknown, ..Self::default() };
                let schema = self.items.as_deref().unwrap_or(&nothing);
                for item in items {
                    schema.prune(item);
                }
            }
            Value::Object(fields) => fields.retain(|name, value| self.keep(name, value)),
            _ => {}
        }
    }

    /// Prunes a field, and says whether it stays.
    fn keep(&self, name: &str, value: &mut Value) -> bool {
        if self.embedded && OF_EVERY_OBJECT.contains(&name) {
            return true;
        }
        match (self.properties.get(name), &self.additional) {
            (Some(schema), _) => schema.prune(value),
            (None, Additional::Of(schema)) => schema.prune(value),
            (None, Additional::Any) => {}
            (None, Additional::None) => return self.keeps_unknown,
        }
        true
    }
}
