//! Whether a schema is structural: it says the type of everything it speaks of, outside of conditions.

use wherry_schema::structural::Pattern;
use wherry_schema::{Object, Value};

use super::openapi::{entries, list};
use crate::object::Fields;
use crate::validation::{Errors, Path, Shown};

/// Where in a schema a part of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Lists of conditions.
const JUNCTORS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Whether the schema is of the shape that a structural one can have at all.
pub(super) fn is_convertible(schema: &Value) -> bool {
    let unsupported =
        ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id", "$schema"];
    if unsupported.iter().any(|field| schema.get(field).is_some_and(|value| !value.is_null())) {
        return false;
    }
    if schema.get("items").is_some_and(|items| items.as_array().is_some()) {
        return false;
    }
    children(schema).iter().all(|child| is_convertible(child))
        && JUNCTORS.iter().flat_map(|name| list(schema, name)).all(is_convertible)
        && schema.get("not").is_none_or(is_convertible)
}

/// The schemas of what is inside: items, properties, further properties.
fn children(schema: &Value) -> Vec<&Value> {
    let properties = entries(schema, "properties").map(|(_, child)| child);
    let single = ["items", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
    single.filter(|child| child.as_object().is_some()).chain(properties).collect()
}

fn is_set(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

/// The rules of a structural schema.
pub(super) fn check(schema: &Value, path: &Path, errors: &mut Errors) {
    let mut found = Errors::default();
    check_invariants(schema, Level::Root, path, &mut found);
    check_complete(schema, path, &mut found);
    errors.append(found.sorted());
}

fn check_invariants(schema: &Value, level: Level, path: &Path, errors: &mut Errors) {
    match schema.get("items").filter(|items| items.as_object().is_some()) {
        Some(items) => check_invariants(items, Level::Item, &path.child("items"), errors),
        None if schema.text("type") == "array" => errors.required(&path.child("items"), "must be specified"),
        None => {}
    }
    for (name, property) in entries(schema, "properties") {
        check_invariants(property, Level::Field, &path.child("properties").key(name), errors);
    }
    let additional = schema.get("additionalProperties");
    if let Some(additional) = additional.filter(|additional| additional.as_object().is_some()) {
        check_invariants(additional, Level::Field, &path.child("additionalProperties"), errors);
    }
    if level == Level::Root && additional.is_some_and(|additional| !additional.is_null()) {
        errors.forbidden(&path.child("additionalProperties"), "must not be used at the root");
    }
    check_extensions(schema, path, errors);
    let first = list(schema, "allOf").first();
    let skipped = Skipped { any: is_int_or_string(schema), first: first.is_some_and(is_int_or_string) };
    check_conditions(schema, skipped, path, errors);
    check_type(schema, level, path, errors);
    check_metadata(schema, level, path, errors);
}

fn check_extensions(schema: &Value, path: &Path, errors: &mut Errors) {
    if !is_set(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if is_set(schema, name) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.invalid(&path.child(name), Shown::raw("true"), detail);
        }
    }
}

/// Everything has a type.
fn check_type(schema: &Value, level: Level, path: &Path, errors: &mut Errors) {
    let (kind, at) = (schema.text("type"), path.child("type"));
    let embedded = is_set(schema, "x-kubernetes-embedded-resource");
    let loose = is_set(schema, "x-kubernetes-int-or-string")
        || is_set(schema, "x-kubernetes-preserve-unknown-fields");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() {
            errors.required(&at, detail);
        } else {
            errors.invalid(&at, kind, detail);
        }
    } else if kind.is_empty() && !loose {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.required(&at, detail);
    }
    if embedded && schema.get("additionalProperties").is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.forbidden(&path.child("additionalProperties"), detail);
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.invalid(&at, kind, "must be object at the root");
    }
}

/// What every object has is not described again.
fn check_metadata(schema: &Value, level: Level, path: &Path, errors: &mut Errors) {
    let embedded = is_set(schema, "x-kubernetes-embedded-resource");
    if level != Level::Root && !embedded {
        return;
    }
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let kind = schema.get("properties").and_then(|p| p.get(name)).map(|p| p.text("type"));
        if let Some(kind) = kind.filter(|kind| *kind != wanted) {
            let at = path.child("properties").key(name).child("type");
            errors.invalid(&at, kind, &format!("must be {wanted}"));
        }
    }
    let Some(metadata) = schema.get("properties").and_then(|p| p.get("metadata")) else { return };
    if level == Level::Root && !is_plain_metadata(metadata) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.forbidden(&path.child("properties").key("metadata"), detail);
    }
    if embedded
        && !is_set(schema, "x-kubernetes-preserve-unknown-fields")
        && entries(schema, "properties").next().is_none()
    {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.required(&path.child("properties"), detail);
    }
}

/// Whether nothing is said of metadata but the form of names.
fn is_plain_metadata(metadata: &Value) -> bool {
    let known = |name: &str| matches!(name, "name" | "generateName");
    let fields = metadata.as_object().into_iter().flat_map(Object::iter);
    let said = fields.filter(|(_, value)| !value.is_null() && value.as_bool() != Some(false));
    entries(metadata, "properties").all(|(name, _)| known(name))
        && said.map(|(name, _)| name.as_str()).all(|name| matches!(name, "type" | "properties" | "default"))
}

/// Conditions that may name types: the two halves of an integer or string.
#[derive(Debug, Clone, Copy, Default)]
struct Skipped {
    /// Those in `anyOf`.
    any: bool,
    /// Those in `anyOf` of the first schema in `allOf`.
    first: bool,
}

/// The one pattern in which conditions may name types: an integer or a string.
fn is_int_or_string(schema: &Value) -> bool {
    let half = |nested: &Value, kind: &str| {
        nested.text("type") == kind && nested.as_object().is_some_and(|fields| fields.len() == 1)
    };
    match list(schema, "anyOf") {
        [integer, string] => half(integer, "integer") && half(string, "string"),
        _ => false,
    }
}

/// Conditions say nothing that shapes objects.
fn check_conditions(schema: &Value, skipped: Skipped, path: &Path, errors: &mut Errors) {
    for name in JUNCTORS {
        if name == "anyOf" && skipped.any {
            continue;
        }
        for (index, nested) in list(schema, name).iter().enumerate() {
            let any = name == "allOf" && index == 0 && skipped.first;
            check_nested(nested, Skipped { any, first: false }, &path.child(name).index(index), errors);
        }
    }
    if let Some(not) = schema.get("not").filter(|not| !not.is_null()) {
        check_nested(not, Skipped::default(), &path.child("not"), errors);
    }
    let pattern = schema.text("pattern");
    if let Err(problem) = Pattern::parse(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {problem}");
        errors.invalid(&path.child("pattern"), pattern, &detail);
    }
}

fn check_nested(nested: &Value, skipped: Skipped, path: &Path, errors: &mut Errors) {
    check_conditions(nested, skipped, path, errors);
    if let Some(items) = nested.get("items").filter(|items| items.as_object().is_some()) {
        check_nested(items, Skipped::default(), &path.child("items"), errors);
    }
    for (name, property) in entries(nested, "properties") {
        check_nested(property, Skipped::default(), &path.child("properties").key(name), errors);
    }
    for name in ["type", "title", "description"] {
        if !nested.text(name).is_empty() {
            errors.forbidden(&path.child(name), "must be empty to be structural");
        }
    }
    for name in ["x-kubernetes-list-map-keys", "x-kubernetes-validations"] {
        if !list(nested, name).is_empty() {
            errors.forbidden(&path.child(name), "must be empty to be structural");
        }
    }
    for name in ["default", "additionalProperties", "x-kubernetes-list-type", "x-kubernetes-map-type"] {
        if nested.get(name).is_some_and(|value| !value.is_null()) {
            errors.forbidden(&path.child(name), "must be undefined to be structural");
        }
    }
    for name in [
        "nullable",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ] {
        if is_set(nested, name) {
            errors.forbidden(&path.child(name), "must be false to be structural");
        }
    }
    if nested.get("properties").is_some_and(|properties| properties.get("metadata").is_some()) {
        let at = path.child("properties").key("metadata");
        errors.forbidden(&at, "must not be specified in a nested context");
    }
}

/// What a condition speaks of is described outside of it, too.
fn check_complete(schema: &Value, path: &Path, errors: &mut Errors) {
    for name in JUNCTORS {
        for (index, nested) in list(schema, name).iter().enumerate() {
            check_described(nested, schema, (&path.child(name).index(index), path), errors);
        }
    }
    if let Some(not) = schema.get("not").filter(|not| !not.is_null()) {
        check_described(not, schema, (&path.child("not"), path), errors);
    }
    if let Some(items) = schema.get("items").filter(|items| items.as_object().is_some()) {
        check_complete(items, &path.child("items"), errors);
    }
    for (name, property) in entries(schema, "properties") {
        check_complete(property, &path.child("properties").key(name), errors);
    }
}

fn check_described(nested: &Value, schema: &Value, (from, to): (&Path, &Path), errors: &mut Errors) {
    let because = |path: &Path| format!("because it is defined in {path}");
    if let Some(items) = nested.get("items").filter(|items| items.as_object().is_some()) {
        let (from, to) = (from.child("items"), to.child("items"));
        match schema.get("items").filter(|items| items.as_object().is_some()) {
            Some(own) => check_described(items, own, (&from, &to), errors),
            None => errors.required(&to, &because(&from)),
        }
    }
    for (name, property) in entries(nested, "properties") {
        let (from, to) = (from.child("properties").key(name), to.child("properties").key(name));
        match schema.get("properties").and_then(|properties| properties.get(name)) {
            Some(own) => check_described(property, own, (&from, &to), errors),
            None => errors.required(&to, &because(&from)),
        }
    }
    for name in JUNCTORS {
        for (index, inner) in list(nested, name).iter().enumerate() {
            check_described(inner, schema, (&from.child(name).index(index), to), errors);
        }
    }
}
