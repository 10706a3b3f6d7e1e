//! What a schema demands of a value besides its shape.

use std::collections::BTreeMap;

use super::{Pattern, Type};
use crate::value::Value;

/// The largest or smallest number allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The number.
    pub limit: f64,
    /// Whether the limit itself is out of bounds.
    pub exclusive: bool,
}

/// Conditions on a value. What is missing is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conditions {
    /// Of a number.
    pub maximum: Option<Bound>,
    /// Of a number.
    pub minimum: Option<Bound>,
    /// What a number must be a multiple of.
    pub multiple_of: Option<f64>,
    /// Characters of a string.
    pub max_length: Option<usize>,
    /// Characters of a string.
    pub min_length: Option<usize>,
    /// What a string must match.
    pub pattern: Option<Pattern>,
    /// What a string is, by a name such as `date-time`.
    pub format: Option<String>,
    /// Items of a list.
    pub max_items: Option<usize>,
    /// Items of a list.
    pub min_items: Option<usize>,
    /// Fields of an object.
    pub max_properties: Option<usize>,
    /// Fields of an object.
    pub min_properties: Option<usize>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The values allowed; none of them is no condition.
    pub choices: Vec<Value>,
    /// All of these must be true.
    pub all_of: Vec<Nested>,
    /// One of these or more must be true.
    pub any_of: Vec<Nested>,
    /// Exactly one of these must be true.
    pub one_of: Vec<Nested>,
    /// This must not be true.
    pub not: Option<Box<Nested>>,
}

/// Conditions within a condition: on the value, and on what is in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nested {
    /// The type, which only the two halves of an integer or string may name.
    pub kind: Option<Type>,
    /// What must be true of the items of a list.
    pub items: Option<Box<Nested>>,
    /// What must be true of the fields of an object.
    pub properties: BTreeMap<String, Nested>,
    /// What must be true of the value.
    pub conditions: Conditions,
}
