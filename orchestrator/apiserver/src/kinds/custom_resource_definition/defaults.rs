//! Rules of defaults: a default is what its schema allows, and holds nothing the schema does not know.

use wherry_schema::structural::Structural;

use crate::custom::values;
use crate::validation::{Errors, Path};

/// Checks the defaults of a schema and of all in it. There are none inside of additional properties.
pub(super) fn check(schema: &Structural, path: &Path, errors: &mut Errors) {
    if let Some(default) = &schema.default {
        let path = path.child("default");
        if !schema.knows_all_of(default) {
            errors.invalid(&path, default, "must not have unknown fields");
        }
        values::check(schema, default, &path, errors);
    }
    if let Some(items) = &schema.items {
        check(items, &path.child("items"), errors);
    }
    for (name, property) in &schema.properties {
        check(property, &path.child("properties").key(name), errors);
    }
}
