//! Rules of defaults: a default is what its schema allows, and holds nothing the schema does not know.

use wherry_schema::structural::Structural;

use crate::custom::rules::Rules;
use crate::custom::values;
use crate::validation::{Errors, Path};

/// Checks the defaults of a schema and of all in it. There are none inside of additional properties.
pub(super) fn check(schema: &Structural, path: &Path, errors: &mut Errors) {
    if let Some(default) = &schema.default {
        let path = path.child("default");
        if !schema.knows_all_of(default) {
            errors.invalid(&path, default, "must not have unknown fields");
        }
        let mut found = Errors::default();
        values::check(schema, default, &path, &mut found);
        if let Some(rules) = Rules::of_values(schema).filter(|_| found.is_empty()) {
            rules.check(schema, (default, None), &path, &mut found);
        }
        errors.append(found);
    }
    if let Some(items) = &schema.items {
        check(items, &path.child("items"), errors);
    }
    for (name, property) in &schema.properties {
        check(property, &path.child("properties").key(name), errors);
    }
}
