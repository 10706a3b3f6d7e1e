//! The structural schema of a custom resource: what its objects are made of, parsed.
//!
//! A schema describes the shape of values (types, fields, items), which is what pruning and defaults follow, and
//! conditions on them, which only validation looks at. [`parse`](Structural::parse) reads one; [`prune`](Structural::prune)
//! removes what it does not know from a value; [`check`](Structural::check) tells what is wrong with a value. Rules of
//! the schema itself are in `shape` and `openapi`, beside this folder.

mod conditions;
mod parse;
mod prune;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

use wherry_schema::Value;

pub(super) use conditions::{Bound, Conditions, Nested};

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
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

    fn name(self) -> &'static str {
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
pub(super) enum Types {
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
pub(super) enum Additional {
    /// There are none.
    #[default]
    None,
    /// They hold anything.
    Any,
    /// They are all alike.
    Of(Box<Structural>),
}

/// The schema of a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Structural {
    /// The types the value may be of.
    pub(super) types: Types,
    /// Whether the value may be null.
    pub(super) nullable: bool,
    /// What a missing value is.
    pub(super) default: Option<Value>,
    /// The items of a list.
    pub(super) items: Option<Box<Structural>>,
    /// The named fields of an object.
    pub(super) properties: BTreeMap<String, Structural>,
    /// Its other fields.
    pub(super) additional: Additional,
    /// Whether fields that are not described are kept.
    pub(super) keeps_unknown: bool,
    /// Whether the value is an object of a kind of its own.
    pub(super) embedded: bool,
    /// What must be true of the value.
    pub(super) conditions: Conditions,
}
