//! The three kinds of patch: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch.
//!
//! All of them change values and know no objects: whether the result still fits its schema is for
//! [`crate::decode::conform`] to say.

pub(crate) mod directives;
mod json;
mod merge;
mod order;
mod strategic;

pub use json::json_patch;
pub use merge::merge_patch;
pub use strategic::strategic_merge;

/// A patch that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// An operation of a JSON patch failed: which, and why.
    #[error("operation {index}: {reason}")]
    Operation {
        /// Its place in the patch, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The patch is of another JSON type than its kind has.
    #[error("json: cannot unmarshal {found} into Go value of type {expected}")]
    Shape {
        /// What it is.
        found: &'static str,
        /// What it should be, by its name in Go.
        expected: &'static str,
    },
    /// A strategic merge patch with a directive or list that makes no sense.
    #[error("{0}")]
    Strategic(String),
}

/// The name of a value's type in errors.
pub(crate) fn type_name(value: &crate::value::Value) -> &'static str {
    use crate::value::Value;
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
