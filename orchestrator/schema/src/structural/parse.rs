//! Reading a schema from the definition that holds it. What a structural schema cannot say is left out: the rules of
//! definitions have refused it before.

use super::{
    Additional, Bound, Conditions, ListType, MapType, Nested, Pattern, Rule, Structural, Type, Types,
};
use crate::value::{Object, Value};

impl Structural {
    /// Reads a schema.
    pub fn parse(schema: &Value) -> Self {
        Self {
            types: match kind(schema) {
                _ if flag(schema, "x-kubernetes-int-or-string") => Types::IntOrString,
                Some(kind) => Types::One(kind),
                None => Types::Any,
            },
            nullable: flag(schema, "nullable"),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            items: inner(schema, "items").map(|items| Box::new(Self::parse(items))),
            list_type: list_type(schema),
            properties: fields(schema).map(|(name, field)| (name, Self::parse(field))).collect(),
            map_type: match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
                Some("atomic") => MapType::Atomic,
                _ => MapType::Granular,
            },
            additional: match schema.get("additionalProperties") {
                Some(Value::Bool(true)) => Additional::Any,
                Some(alike @ Value::Object(_)) => Additional::Of(Box::new(Self::parse(alike))),
                _ => Additional::None,
            },
            keeps_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(schema, "x-kubernetes-embedded-resource"),
            conditions: Conditions::parse(schema),
            rules: list(schema, "x-kubernetes-validations").iter().map(rule).collect(),
        }
    }
}

fn rule(rule: &Value) -> Rule {
    let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Rule {
        rule: text("rule"),
        message: text("message"),
        message_expression: text("messageExpression"),
        reason: rule.get("reason").and_then(Value::as_str).map(str::to_owned),
        field_path: text("fieldPath"),
        optional_old: rule.get("optionalOldSelf").and_then(Value::as_bool),
    }
}

impl Conditions {
    fn parse(schema: &Value) -> Self {
        let count =
            |name: &str| schema.get(name).and_then(Value::as_i64).and_then(|n| usize::try_from(n).ok());
        let bound = |name: &str, exclusive: &str| {
            let limit = schema.get(name).and_then(Value::as_f64)?;
            Some(Bound { limit, exclusive: flag(schema, exclusive) })
        };
        let nested = |name: &str| list(schema, name).iter().map(Nested::parse).collect();
        Self {
            maximum: bound("maximum", "exclusiveMaximum"),
            minimum: bound("minimum", "exclusiveMinimum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            pattern: schema.get("pattern").and_then(Value::as_str).and_then(|text| Pattern::parse(text).ok()),
            format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            required: texts(schema, "required"),
            choices: list(schema, "enum").to_vec(),
            all_of: nested("allOf"),
            any_of: nested("anyOf"),
            one_of: nested("oneOf"),
            not: inner(schema, "not").map(|not| Box::new(Nested::parse(not))),
        }
    }
}

impl Nested {
    fn parse(schema: &Value) -> Self {
        Self {
            kind: kind(schema),
            items: inner(schema, "items").map(|items| Box::new(Self::parse(items))),
            properties: fields(schema).map(|(name, field)| (name, Self::parse(field))).collect(),
            conditions: Conditions::parse(schema),
        }
    }
}

fn kind(schema: &Value) -> Option<Type> {
    schema.get("type").and_then(Value::as_str).and_then(Type::named)
}

fn list_type(schema: &Value) -> ListType {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("atomic") => ListType::Atomic,
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(texts(schema, "x-kubernetes-list-map-keys")),
        _ => ListType::Unsaid,
    }
}

fn texts(schema: &Value, name: &str) -> Vec<String> {
    list(schema, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

fn inner<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema.get(name).filter(|inner| inner.as_object().is_some())
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn fields(schema: &Value) -> impl Iterator<Item = (String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(Object::iter).map(|(name, field)| (name.to_string(), field))
}
