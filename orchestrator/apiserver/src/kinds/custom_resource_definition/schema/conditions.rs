//! What a schema demands of a value besides its shape.

use std::collections::BTreeMap;

use wherry_schema::Value;

use super::super::pattern::Pattern;
use super::Type;

/// The largest or smallest number allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Bound {
    pub(in super::super) limit: f64,
    /// Whether the limit itself is out of bounds.
    pub(in super::super) exclusive: bool,
}

/// Conditions on a value. What is missing is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in super::super) struct Conditions {
    pub(in super::super) maximum: Option<Bound>,
    pub(in super::super) minimum: Option<Bound>,
    pub(in super::super) multiple_of: Option<f64>,
    pub(in super::super) max_length: Option<usize>,
    pub(in super::super) min_length: Option<usize>,
    pub(in super::super) pattern: Option<Pattern>,
    pub(in super::super) max_items: Option<usize>,
    pub(in super::super) min_items: Option<usize>,
    pub(in super::super) max_properties: Option<usize>,
    pub(in super::super) min_properties: Option<usize>,
    /// Fields that must be there.
    pub(in super::super) required: Vec<String>,
    /// The values allowed; none of them is no condition.
    pub(in super::super) choices: Vec<Value>,
    pub(in super::super) all_of: Vec<Nested>,
    pub(in super::super) any_of: Vec<Nested>,
    pub(in super::super) one_of: Vec<Nested>,
    pub(in super::super) not: Option<Box<Nested>>,
}

/// Conditions within a condition: on the value, and on what is in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in super::super) struct Nested {
    /// The type, which only the two halves of an integer or string may name.
    pub(in super::super) kind: Option<Type>,
    pub(in super::super) items: Option<Box<Nested>>,
    pub(in super::super) properties: BTreeMap<String, Nested>,
    pub(in super::super) conditions: Conditions,
}
