//! Paths into custom resources: printer columns, the scale subresource, selectable fields.

use wherry_schema::Value;

use crate::custom::path::split_field;
use crate::object::Fields;
use crate::validation::{Errors, Path};

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const FORMATS: &[&str] = &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE: usize = 8;

/// A path that begins at the object.
fn check_path(text: &str, path: &Path, errors: &mut Errors) -> bool {
    if text.is_empty() {
        errors.required(path, "");
    } else if !text.starts_with('.') {
        errors.invalid(path, text, "must be a simple json path starting with .");
    }
    text.starts_with('.')
}

/// The rules of printer columns.
pub(super) fn check_columns(parts: &Value, path: &Path, errors: &mut Errors) {
    for (index, column) in parts.items("additionalPrinterColumns").iter().enumerate() {
        let (path, kind, format) = (path.index(index), column.text("type"), column.text("format"));
        errors.some_text(column.text("name"), &path.child("name"));
        let one_of = |known: &[&str]| format!("must be one of {}", known.join(","));
        if kind.is_empty() {
            errors.required(&path.child("type"), &one_of(COLUMN_TYPES));
        } else if !COLUMN_TYPES.contains(&kind) {
            errors.invalid(&path.child("type"), kind, &one_of(COLUMN_TYPES));
        }
        if !format.is_empty() && !FORMATS.contains(&format) {
            errors.invalid(&path.child("format"), format, &one_of(FORMATS));
        }
        check_path(column.text("jsonPath"), &path.child("JSONPath"), errors);
    }
}

/// The rules of subresources.
pub(super) fn check_subresources(parts: &Value, path: &Path, errors: &mut Errors) {
    let Some(scale) = parts.field("subresources.scale") else { return };
    for (field, root) in [("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")] {
        let (text, at) = (scale.text(field), path.child("scale").child(field));
        if check_path(text, &at, errors) && !text.starts_with(&format!("{root}.")) {
            errors.invalid(&at, text, &format!("should be a json path under {root}"));
        }
    }
    let (text, at) = (scale.text("labelSelectorPath"), path.child("scale").child("labelSelectorPath"));
    if !text.is_empty()
        && check_path(text, &at, errors)
        && !text.starts_with(".spec.")
        && !text.starts_with(".status.")
    {
        errors.invalid(&at, text, "should be a json path under either .spec or .status");
    }
}

/// The rules of fields that objects can be selected by.
pub(super) fn check_selectable(parts: &Value, schema: Option<&Value>, path: &Path, errors: &mut Errors) {
    let fields = parts.items("selectableFields");
    for (index, field) in fields.iter().enumerate() {
        let (text, at) = (field.text("jsonPath"), path.index(index).child("jsonPath"));
        if text.is_empty() {
            errors.required(&at, "");
            continue;
        }
        // Items of lists cannot be told apart, so objects are not selected by them.
        let found = schema.filter(|_| !text.contains('[')).and_then(|schema| resolve(schema, text));
        let Some(found) = found else {
            errors.invalid(&at, text, "is an invalid path: does not refer to a valid field");
            continue;
        };
        if text.starts_with(".metadata") {
            errors.invalid(&at, text, "must not point to fields in metadata");
        }
        if !matches!(found.text("type"), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                          with formats are allowed.";
            errors.invalid(&at, text, detail);
        }
        if fields[..index].iter().any(|other| other.text("jsonPath") == text) {
            errors.duplicate(&at, text);
        }
    }
    if fields.len() > MAX_SELECTABLE {
        errors.too_many(path, fields.len(), MAX_SELECTABLE);
    }
}

/// The schema of a field: `.spec.color`, or `.spec['color']` for names that need it.
pub(super) fn resolve<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    let (mut schema, mut rest) = (schema, path);
    while !rest.is_empty() {
        let name;
        (name, rest) = split_field(rest)?;
        let property = schema.get("properties").and_then(|properties| properties.get(name));
        let alike = || schema.get("additionalProperties").filter(|alike| alike.as_object().is_some());
        schema = property.or_else(alike)?;
    }
    (!path.is_empty()).then_some(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_path() {
        let json = br#"{"properties":{"a":{"properties":{"b.c":{"type":"string"}}},
            "m":{"additionalProperties":{"type":"integer"}}}}"#;
        let schema = Value::from_json(json).unwrap();
        for (path, wanted) in [
            (".a['b.c']", Some("string")),
            (".m.x", Some("integer")),
            (".a", Some("")),
            (".b", None),
            ("a", None),
            ("", None),
            (".a['b", None),
        ] {
            assert_eq!(resolve(&schema, path).map(|found| found.text("type")), wanted, "{path}");
        }
    }
}
