//! What the schema of a custom resource may say, whatever its shape.

use wherry_schema::structural::Structural;
use wherry_schema::{Object, Value};

use super::{defaults, fields, lists, shape};
use crate::custom::rules;
use crate::object::Fields;
use crate::validation::{Errors, Path, Shown};

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// What a schema may not say.
const UNSUPPORTED: &[&str] =
    &["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];
/// The formats of strings that values are judged by, without their dashes.
const STRING_FORMATS: &[&str] = &[
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];
/// What the root may say where the status has a schema of its own: the keyword, and upstream's name for it.
const AT_ROOT: &[(&str, &str)] = &[
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// What is true of a part of a schema because of where it is.
#[derive(Clone, Default)]
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
    let mut structural = None;
    if shape::is_convertible(schema) {
        let mut found = Errors::default();
        shape::check(schema, path, &mut found);
        if found.is_empty() {
            let parsed = Structural::parse(schema);
            defaults::check(&parsed, path, &mut found);
            structural = Some(parsed).filter(|_| found.is_empty());
        }
        errors.append(found);
    }
    let mut found = Errors::default();
    check(schema, true, &Place::default(), path, &mut found);
    if let Some(structural) = structural.filter(|_| found.is_empty()) {
        rules::check_definition(&structural, path, &mut found);
    }
    errors.append(found);
}

/// The formats of strings, anywhere in a schema, that nobody looks at.
pub(super) fn unknown_formats(schema: &Value) -> Vec<&str> {
    let format = schema.text("format");
    let known = format.is_empty() || STRING_FORMATS.contains(&format.replace('-', "").as_str());
    let own = (!known && schema.text("type") == "string").then_some(format);
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| list(schema, name));
    let single = ["items", "not", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
    let properties = entries(schema, "properties").map(|(_, property)| property);
    let inside = single.chain(lists).chain(properties).filter(|inner| inner.as_object().is_some());
    own.into_iter().chain(inside.flat_map(|inner| unknown_formats(inner))).collect()
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
        if !AT_ROOT.iter().any(|(keyword, _)| *keyword == name.as_str()) {
            let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                names.join(" ")
            );
            errors.invalid(path, schema, &detail);
            return;
        }
    }
}

/// Rules of a part of a schema and of what is in it.
fn check(schema: &Value, root: bool, place: &Place, path: &Path, errors: &mut Errors) {
    check_own(schema, place, path, errors);
    check_additional(schema, place, path, errors);
    let top = root || schema.flag("x-kubernetes-embedded-resource");
    for (name, property) in entries(schema, "properties") {
        let mut inner = place.clone();
        if top && matches!(name, "metadata" | "kind" | "apiVersion") {
            inner.inside_metadata = true;
            if root {
                inner.no_default = Some(format!("in top-level {name}"));
            }
        }
        check(property, false, &inner, &path.child("properties").key(name), errors);
    }
    if let Some(not) = schema.get("not").filter(|not| !not.is_null()) {
        check(not, false, place, &path.child("not"), errors);
    }
    for junctor in ["allOf", "oneOf", "anyOf"] {
        for (index, nested) in list(schema, junctor).iter().enumerate() {
            check(nested, false, place, &path.child(junctor).index(index), errors);
        }
    }
    for (name, definition) in entries(schema, "definitions") {
        check(definition, false, place, &path.child("definitions").key(name), errors);
    }
    match schema.get("items") {
        Some(items @ Value::Object(_)) => check(items, false, place, &path.child("items"), errors),
        Some(Value::Array(all)) => {
            for (index, items) in all.iter().enumerate() {
                check(items, false, place, &path.child("items").index(index), errors);
            }
        }
        _ => {}
    }
    lists::check(schema, path, errors);
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        check_rule(rule, schema, &path.child("x-kubernetes-validations").index(index), errors);
    }
}

pub(super) fn entries<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let fields = schema.get(name).and_then(Value::as_object).into_iter().flat_map(Object::iter);
    fields.map(|(name, value)| (name.as_str(), value))
}

pub(super) fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn check_own(schema: &Value, place: &Place, path: &Path, errors: &mut Errors) {
    let kind = schema.text("type");
    if !kind.is_empty() {
        errors.one_of(kind, &path.child("type"), TYPES);
    }
    if let (Some(reason), true) = (&place.no_default, schema.has("default")) {
        errors.forbidden(&path.child("default"), &format!("must not be set {reason}"));
    }
    for field in UNSUPPORTED {
        let said = schema.get(field).is_some_and(|value| {
            !value.is_null()
                && value.as_str() != Some("")
                && value.as_object().is_none_or(|fields| !fields.is_empty())
        });
        if said {
            errors.forbidden(&path.child(field), &format!("{field} is not supported"));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.forbidden(&path.child("type"), detail);
    }
    if schema.get("items").and_then(Value::as_array).is_some_and(|items| !items.is_empty()) {
        errors.forbidden(&path.child("items"), "items must be a schema object and not an array");
    }
    if place.inside_metadata && schema.flag("x-kubernetes-embedded-resource") {
        let detail = "must not be used inside of resource meta";
        errors.forbidden(&path.child("x-kubernetes-embedded-resource"), detail);
    }
    if schema.flag("uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(&path.child("uniqueItems"), detail);
    }
}

/// Either the properties are known, or they are all alike.
fn check_additional(schema: &Value, place: &Place, path: &Path, errors: &mut Errors) {
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
        check(additional, false, &inner, &path, errors);
    }
}

/// The rules of an expression, short of compiling it.
fn check_rule(rule: &Value, schema: &Value, path: &Path, errors: &mut Errors) {
    let (expression, message) = (rule.text("rule").trim(), rule.text("message"));
    let breaks = |text: &str| text.contains(['\n', '\r']);
    if expression.is_empty() {
        errors.required(&path.child("rule"), "rule is not specified");
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.invalid(&path.child("message"), message, "must be non-empty if specified");
    } else if breaks(message.trim()) {
        errors.invalid(&path.child("message"), message, "must not contain line breaks");
    } else if breaks(expression) && message.trim().is_empty() {
        errors.required(&path.child("message"), "message must be specified if rule contains line breaks");
    }
    let other = rule.text("messageExpression");
    if !other.is_empty() && other.trim().is_empty() {
        errors.required(&path.child("messageExpression"), "must be non-empty if specified");
    }
    if let Some(reason) = rule.field("reason").and_then(Value::as_str) {
        errors.one_of(reason, &path.child("reason"), REASONS);
    }
    let (field, at) = (rule.text("fieldPath"), path.child("fieldPath"));
    if !field.is_empty() && field.trim().is_empty() {
        errors.invalid(&at, field, "must be non-empty if specified");
    }
    if breaks(field) {
        errors.invalid(&at, field, "must not contain line breaks");
    }
    if !field.is_empty() && fields::resolve(schema, field).is_none() {
        errors.invalid(&at, Shown::from(field), "must be a valid path");
    }
}
