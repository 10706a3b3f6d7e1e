//! Rules of the schema of a custom resource.

use wherry_schema::{Object, Value};

use super::structural;
use crate::object::Fields;
use crate::validation::{Errors, Path, Shown};

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// What a schema may not say, as values that are there.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("$ref", "$ref is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("id", "id is not supported"),
    ("patternProperties", "patternProperties is not supported"),
];
/// What the root may say where the status has a schema of its own.
const AT_ROOT: &[&str] = &[
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// What is true of a part of a schema because of where it is.
#[derive(Clone)]
struct Place {
    /// Why there may be no default here.
    no_default: Option<String>,
    /// Whether this is about what every object has.
    inside_metadata: bool,
}

/// The rules of a whole schema.
pub(super) fn check_root(schema: &Value, status: bool, path: &Path, errors: &mut Errors) {
    if status {
        check_status_root(schema, path, errors);
    }
    if schema.flag("nullable") {
        errors.forbidden(&path.child("nullable"), "nullable cannot be true at the root");
    }
    let mut found = Errors::default();
    let convertible = structural::is_convertible(schema);
    if convertible {
        structural::check(schema, path, &mut found);
        if found.is_empty() {
            check_defaults(schema, path, &mut found);
        }
    }
    let valid = convertible && found.is_empty();
    errors.append(found);
    let place = Place { no_default: None, inside_metadata: false };
    let mut rules = Errors::default();
    check(schema, (true, &place), path, (errors, &mut rules));
    if valid {
        errors.append(rules);
    }
}

fn check_status_root(schema: &Value, path: &Path, errors: &mut Errors) {
    for (name, value) in schema.as_object().into_iter().flat_map(Object::iter) {
        if value.is_null() || value.as_bool() == Some(false) {
            continue;
        }
        if name.as_str() == "type" && value.as_str() != Some("object") {
            let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            errors.invalid(&path.child("type"), value, detail);
            return;
        }
        if !AT_ROOT.contains(&name.as_str()) {
            let detail = format!(
                "only {AT_ROOT:?} fields are allowed at the root of the schema if the status subresource is enabled"
            );
            errors.invalid(path, schema, &detail);
            return;
        }
    }
}

/// Rules of a part of a schema, and of the expressions in it.
fn check(
    schema: &Value,
    (root, place): (bool, &Place),
    path: &Path,
    (errors, rules): (&mut Errors, &mut Errors),
) {
    check_own(schema, place, path, errors);
    check_additional(schema, place, path, (errors, rules));
    let top = root || schema.flag("x-kubernetes-embedded-resource");
    for (name, property) in entries(schema, "properties") {
        let mut inner = place.clone();
        if top && matches!(name, "metadata" | "kind" | "apiVersion") {
            inner.inside_metadata = true;
            if root {
                inner.no_default = Some(format!("in top-level {name}"));
            }
        }
        check(property, (false, &inner), &path.child("properties").key(name), (errors, rules));
    }
    if let Some(not) = schema.get("not").filter(|not| !not.is_null()) {
        check(not, (false, place), &path.child("not"), (errors, rules));
    }
    for junctor in ["allOf", "oneOf", "anyOf"] {
        for (index, nested) in list(schema, junctor).iter().enumerate() {
            check(nested, (false, place), &path.child(junctor).index(index), (errors, rules));
        }
    }
    if let Some(items) = schema.get("items").filter(|items| items.as_object().is_some()) {
        check(items, (false, place), &path.child("items"), (errors, rules));
    }
    check_lists(schema, path, errors);
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        check_rule(rule, &path.child("x-kubernetes-validations").index(index), rules);
    }
}

fn entries<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let fields = schema.get(name).and_then(Value::as_object).into_iter().flat_map(Object::iter);
    fields.map(|(name, value)| (name.as_str(), value))
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn check_own(schema: &Value, place: &Place, path: &Path, errors: &mut Errors) {
    if let (Some(reason), true) = (&place.no_default, schema.has("default")) {
        errors.forbidden(&path.child("default"), &format!("must not be set {reason}"));
    }
    for (field, detail) in UNSUPPORTED {
        let said = schema.get(field).is_some_and(|value| {
            !value.is_null()
                && value.as_str() != Some("")
                && value.as_object().is_none_or(|fields| !fields.is_empty())
        });
        if said {
            errors.forbidden(&path.child(field), detail);
        }
    }
    match schema.text("type") {
        "null" => {
            let detail = "type cannot be set to null, use nullable as an alternative";
            errors.forbidden(&path.child("type"), detail);
        }
        "" => {}
        kind => errors.one_of(kind, &path.child("type"), TYPES),
    }
    if schema.get("items").is_some_and(|items| items.as_array().is_some()) {
        errors.forbidden(&path.child("items"), "items must be a schema object and not an array");
    }
    if place.inside_metadata && schema.flag("x-kubernetes-embedded-resource") {
        let detail = "must not be used inside of resource meta";
        errors.forbidden(&path.child("x-kubernetes-embedded-resource"), detail);
    }
    if let Some((pattern, problem)) = schema.get("pattern").and_then(Value::as_str).and_then(broken) {
        let detail =
            format!("must be a valid regular expression, but isn't: error parsing regexp: {problem}");
        errors.invalid(&path.child("pattern"), pattern, &detail);
    }
    if schema.flag("uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(&path.child("uniqueItems"), detail);
    }
}

/// What is wrong with a regular expression, as far as brackets go.
fn broken(pattern: &str) -> Option<(&str, String)> {
    let (mut open, mut class, mut escaped) = (0_usize, None, false);
    for (at, c) in pattern.char_indices() {
        match (escaped, class, c) {
            (true, ..) => escaped = false,
            (false, _, '\\') => escaped = true,
            (false, None, '[') => class = Some(at),
            (false, Some(start), ']') if at > start + 1 => class = None,
            (false, None, '(') => open += 1,
            (false, None, ')') if open == 0 => return Some((pattern, format!("unexpected ): `{pattern}`"))),
            (false, None, ')') => open -= 1,
            (false, None, '*' | '+' | '?') if at == 0 => {
                return Some((pattern, format!("missing argument to repetition operator: `{c}`")));
            }
            _ => {}
        }
    }
    let problem = match (class, open, escaped) {
        (Some(start), ..) => format!("missing closing ]: `{}`", &pattern[start..]),
        (None, _, true) => "trailing backslash at end of expression: ``".to_owned(),
        (None, 0, false) => return None,
        (None, _, false) => format!("missing closing ): `{pattern}`"),
    };
    Some((pattern, problem))
}

/// Either the properties are known, or they are all alike.
fn check_additional(schema: &Value, place: &Place, path: &Path, (errors, rules): (&mut Errors, &mut Errors)) {
    let Some(additional) = schema.get("additionalProperties").filter(|value| !value.is_null()) else {
        return;
    };
    let path = path.child("additionalProperties");
    let limits = additional.as_bool() != Some(true);
    if limits && entries(schema, "properties").next().is_some() {
        errors.forbidden(&path, "additionalProperties and properties are mutual exclusive");
    }
    if additional.as_object().is_some() {
        let mut inner = place.clone();
        if place.inside_metadata {
            inner.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        check(additional, (false, &inner), &path, (errors, rules));
    }
}

/// How maps and lists merge.
fn check_lists(schema: &Value, path: &Path, errors: &mut Errors) {
    if schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(false) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.invalid(&at, Shown::raw("false"), "must be true or undefined");
    }
    let text = |name: &str| schema.get(name).and_then(Value::as_str);
    if let Some(map) = text("x-kubernetes-map-type") {
        needs_type(schema, ("object", "x-kubernetes-map-type"), path, errors);
        errors.one_of(map, &path.child("x-kubernetes-map-type"), &["atomic", "granular"]);
    }
    let Some(kind) = text("x-kubernetes-list-type") else {
        if !list(schema, "x-kubernetes-list-map-keys").is_empty() {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            errors.required(&path.child("x-kubernetes-list-type"), detail);
        }
        return;
    };
    if schema.text("type") == "array" {
        check_set(schema, kind, path, errors);
    } else {
        needs_type(schema, ("array", "x-kubernetes-list-type"), path, errors);
    }
    errors.one_of(kind, &path.child("x-kubernetes-list-type"), &["atomic", "set", "map"]);
    if kind == "map" {
        check_keyed(schema, path, errors);
    } else if !list(schema, "x-kubernetes-list-map-keys").is_empty() {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.invalid(&path.child("x-kubernetes-list-type"), kind, detail);
    }
}

fn needs_type(schema: &Value, (wanted, because): (&str, &str), path: &Path, errors: &mut Errors) {
    let (kind, at) = (schema.text("type"), path.child("type"));
    let detail = format!("must be {wanted} if {because} is specified");
    match kind {
        "" => errors.required(&at, &detail),
        kind if kind != wanted => errors.invalid(&at, kind, &detail),
        _ => {}
    }
}

/// Items of a set are compared as wholes.
fn check_set(schema: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let Some(items) = schema.get("items").filter(|_| kind == "set") else { return };
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let at = path.child("items");
    let how = |name: &str| items.get(name).and_then(Value::as_str);
    match (items.text("type"), how("x-kubernetes-list-type"), how("x-kubernetes-map-type")) {
        ("array", Some(inner), _) if inner != "atomic" => {
            errors.invalid(&at.child("x-kubernetes-list-type"), inner, detail);
        }
        ("object", inner, map) if map != Some("atomic") => {
            let shown = inner.map_or(Shown::raw("null"), Shown::from);
            errors.invalid(&at.child("x-kubernetes-map-type"), shown, detail);
        }
        _ => {}
    }
}

/// Items of a map have scalar keys, which are always there.
fn check_keyed(schema: &Value, path: &Path, errors: &mut Errors) {
    let keys = list(schema, "x-kubernetes-list-map-keys");
    let at = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.required(&at, "must not be empty if x-kubernetes-list-type is map");
    }
    let Some(items) = schema.get("items").filter(|items| !items.is_null()) else {
        errors.required(&path.child("items"), "must have a schema if x-kubernetes-list-type is map");
        return;
    };
    let inside = path.child("items");
    if items.as_object().is_none() {
        let detail = "must only have a single schema if x-kubernetes-list-type is map";
        errors.invalid(&inside, items, detail);
        return;
    }
    let kind = items.text("type");
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.invalid(&inside.child("type"), kind, detail);
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        check_key(items, name, (&inside, &at), errors);
        if keys[..index].contains(key) {
            errors.invalid(&at.index(index), name, "must not contain duplicate entries");
        }
    }
    for key in keys.iter().filter_map(Value::as_str) {
        check_key_is_there(items, key, &inside, errors);
    }
}

fn check_key(items: &Value, name: &str, (inside, keys): (&Path, &Path), errors: &mut Errors) {
    match items.get("properties").and_then(|properties| properties.get(name)) {
        None => {
            let detail = "entries must all be names of item properties";
            errors.invalid(keys, name, detail);
        }
        Some(property) if matches!(property.text("type"), "array" | "object") => {
            let at = inside.child("properties").key(name).child("type");
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.invalid(&at, items.text("type"), detail);
        }
        Some(_) => {}
    }
}

fn check_key_is_there(items: &Value, name: &str, inside: &Path, errors: &mut Errors) {
    let required = list(items, "required").iter().any(|field| field.as_str() == Some(name));
    let property = items.get("properties").and_then(|properties| properties.get(name));
    let at = inside.child("properties").key(name);
    let Some(property) = property else { return };
    if !required && !property.has("default") {
        let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
        errors.required(&at.child("default"), detail);
    }
    if property.flag("nullable") {
        let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
        errors.forbidden(&at.child("nullable"), detail);
    }
}

/// A default is of the type it stands for.
fn check_defaults(schema: &Value, path: &Path, errors: &mut Errors) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let (found, wanted) = (type_of(default), schema.text("type"));
        let fits = wanted.is_empty() || found == wanted || (found, wanted) == ("integer", "number");
        if !fits {
            let detail = format!(" in body must be of type {wanted}: {found:?}");
            errors.invalid(&path.child("default"), found, &detail);
        }
    }
    for (name, property) in entries(schema, "properties") {
        check_defaults(property, &path.child("properties").key(name), errors);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(name).filter(|inner| inner.as_object().is_some()) {
            check_defaults(inner, &path.child(name), errors);
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) => "integer",
        Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The rules of an expression, short of compiling it.
fn check_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let (expression, message) = (rule.text("rule").trim(), rule.text("message"));
    if expression.is_empty() {
        errors.required(&path.child("rule"), "rule is not specified");
    }
    if !message.is_empty() && message.trim().is_empty() {
        errors.invalid(&path.child("message"), message, "must be non-empty if specified");
    } else if message.trim().contains(['\n', '\r']) {
        errors.invalid(&path.child("message"), message, "must not contain line breaks");
    } else if message.is_empty() && expression.contains(['\n', '\r']) {
        errors.required(&path.child("message"), "message must be specified if rule contains line breaks");
    }
    let expression = rule.text("messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        errors.required(&path.child("messageExpression"), "must be non-empty if specified");
    }
    if let Some(reason) = rule.field("reason").and_then(Value::as_str) {
        errors.one_of(reason, &path.child("reason"), REASONS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::broken;

    #[test]
    fn brackets_are_closed() {
        for (pattern, problem) in [
            ("[", "missing closing ]: `[`"),
            ("a(b", "missing closing ): `a(b`"),
            ("a)", "unexpected ): `a)`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a\\", "trailing backslash at end of expression: ``"),
        ] {
            assert_eq!(broken(pattern).unwrap().1, problem);
        }
        for pattern in ["", "^[a-z]+$", "(a|b)*", "[]a]", "\\[", "[(]"] {
            assert!(broken(pattern).is_none(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_fail(pattern in "\\PC{0,20}") {
            let _ = broken(&pattern).is_some();
        }
    }
}
