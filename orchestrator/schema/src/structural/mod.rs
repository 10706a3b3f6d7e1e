//! [`Structural`]: what the objects of a custom resource are made of, parsed from the schema in its definition.
//!
//! A schema describes the shape of values (types, fields, items), which pruning, defaults and ownership follow, and
//! conditions on them, which only validation looks at. Rules of schemas themselves, and validation, are with the API
//! server; a schema read here is taken to be structural, and what a structural schema cannot say is passed over.
//!
//! # Use
//! A definition's schema is read once and kept for as long as the definition says the same:
//!
//! ```
//! use std::sync::Arc;
//! use wherry_schema::structural::Structural;
//! use wherry_schema::{FieldValidation, Format, Schema, Value, decode};
//!
//! let definition = br#"{"type":"object","properties":{"size":{"type":"integer","default":1}}}"#;
//! let structural = Arc::new(Structural::parse(&Value::from_json(definition)?));
//! let schema = Schema::custom(Arc::clone(&structural));
//!
//! let body = br#"{"kind":"Box","metadata":{"name":"b"},"color":"red"}"#;
//! let (mut object, warnings) = decode(body, Format::Json, &schema, FieldValidation::Warn)?;
//! structural.complete(&mut object);
//! assert_eq!(warnings, [r#"unknown field "color""#]);
//! assert_eq!(object.to_string(), r#"{"kind":"Box","metadata":{"name":"b"},"size":1}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Such a [`Schema`](crate::Schema) works wherever one of a built-in kind does: [`decode`](crate::decode()) and
//! [`conform`](crate::decode::conform) prune, drop nulls where there may be none and read the metadata as that of any
//! object; [`managed`](crate::managed) owns and merges by it. Wrong types are left for validation, except in metadata.
//! Strategic merge patches are not for custom resources; the server refuses them before. What was stored under an older
//! schema is brought to this one by [`renew`](Structural::renew).

mod conditions;
mod defaults;
mod metadata;
mod parse;
mod pattern;
mod prune;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::value::Value;

pub use conditions::{Bound, Conditions, Nested};
pub use pattern::Pattern;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `array`
    Array,
    /// `boolean`
    Boolean,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `object`
    Object,
    /// `string`
    String,
}

impl Type {
    /// The type of this name.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "array" => Self::Array,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "object" => Self::Object,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// Its name in schemas.
    pub fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }
}

/// The types that a value may be of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Types {
    /// Any.
    #[default]
    Any,
    /// This one.
    One(Type),
    /// A whole number or a string.
    IntOrString,
}

/// The fields of an object besides those that are named.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Additional {
    /// There are none.
    #[default]
    None,
    /// They hold anything.
    Any,
    /// They are all alike.
    Of(Box<Structural>),
}

/// How the items of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ListType {
    /// Not at all, as nothing is said: the list is one value.
    #[default]
    Unsaid,
    /// Not at all: the list is one value.
    Atomic,
    /// By their values.
    Set,
    /// By these fields.
    Map(Vec<String>),
}

/// How the fields of an object are owned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MapType {
    /// One by one.
    #[default]
    Granular,
    /// Not at all: the object is one value.
    Atomic,
}

/// An expression that must be true of a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// The expression.
    pub rule: String,
    /// What to say when it is false, if anything.
    pub message: String,
    /// An expression for that.
    pub message_expression: String,
    /// The reason to give: `FieldValueForbidden`.
    pub reason: Option<String>,
    /// The field to blame, from the value.
    pub field_path: String,
    /// Whether it is about new values, too, and if anything is said of that.
    pub optional_old: Option<bool>,
}

/// The schema of a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Structural {
    /// The types the value may be of.
    pub types: Types,
    /// Whether the value may be null.
    pub nullable: bool,
    /// What a missing value is.
    pub default: Option<Value>,
    /// The items of a list.
    pub items: Option<Box<Structural>>,
    /// How they are told apart.
    pub list_type: ListType,
    /// The named fields of an object.
    pub properties: BTreeMap<String, Structural>,
    /// Its other fields.
    pub additional: Additional,
    /// How the fields of an object are owned.
    pub map_type: MapType,
    /// Whether fields that are not described are kept.
    pub keeps_unknown: bool,
    /// Whether the value is an object of a kind of its own.
    pub embedded: bool,
    /// What must be true of the value.
    pub conditions: Conditions,
    /// Expressions that must be true of the value.
    pub rules: Vec<Rule>,
}

/// What every object of a kind has, whatever its schema says.
pub(crate) const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Structural {
    /// Brings an object that was stored under an older schema to this one.
    pub fn renew(&self, object: &mut Value) {
        self.prune(object);
        self.drop_nulls(object);
        self.complete(object);
    }

    /// Whether objects of kinds of their own lie within.
    pub fn embeds(&self) -> bool {
        let other = match &self.additional {
            Additional::Of(schema) => Some(&**schema),
            Additional::None | Additional::Any => None,
        };
        let inner = self.properties.values().chain(self.items.as_deref()).chain(other);
        self.embedded || inner.into_iter().any(Self::embeds)
    }

    /// The schema of a field of an object, if it has one.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match (self.properties.get(name), &self.additional) {
            (Some(schema), _) => Some(schema),
            (None, Additional::Of(schema)) => Some(schema),
            (None, Additional::Any | Additional::None) => None,
        }
    }
}
