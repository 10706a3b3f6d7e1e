//! Why bytes are no object of their schema, in the words of kube-apiserver.

use std::fmt;

use crate::json::SyntaxError;

/// Bytes that are no object of the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Not YAML.
    #[error("error converting YAML to JSON: yaml: {0}")]
    Yaml(String),
    /// JSON, but not an object: what it is instead.
    #[error(
        "json: cannot unmarshal {0} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    )]
    NotAnObject(&'static str),
    /// A value of another type than the schema has.
    #[error(transparent)]
    Type(#[from] Mismatch),
    /// A string that is not what its field holds: a time, a quantity, base64.
    #[error("{0}")]
    Content(String),
    /// Unknown or duplicate fields where none are allowed.
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
}

/// A value of another type than the schema has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// `string`, `number 1.5`.
    found: String,
    /// The type the field has, by its name in Go.
    expected: String,
    /// The type the innermost named field belongs to.
    owner: Option<&'static str>,
    /// Names of the fields on the way, innermost first.
    fields: Vec<&'static str>,
}

impl Mismatch {
    pub(super) fn new(found: String, expected: String) -> Self {
        Self { found, expected, owner: None, fields: Vec::new() }
    }

    /// A mismatch of a field of a nameless type.
    pub(super) fn plain(found: &str, expected: &str, field: &'static str) -> Self {
        Self { found: found.into(), expected: expected.into(), owner: Some(""), fields: vec![field] }
    }

    /// Puts a field around the place.
    pub(super) fn within(&mut self, owner: &'static str, field: &'static str) {
        self.owner.get_or_insert(owner);
        self.fields.push(field);
    }

    /// The same as strategic merge patches report it, where values are converted, not decoded.
    pub fn conversion_message(&self) -> String {
        let found = match self.found.split_once(' ') {
            Some((_, number)) if number.contains(['.', 'e', 'E']) => "float64",
            Some(_) => "int64",
            None => match self.found.as_str() {
                "array" => "slice",
                "object" => "map",
                "number" => "int64",
                found => found,
            },
        };
        match self.expected.as_str() {
            "string" if matches!(found, "int64" | "float64") => format!("cannot convert {found} to string"),
            expected if expected.starts_with("map[") => format!("cannot restore map from {found}"),
            expected if expected.starts_with("[]") => format!("cannot restore slice from {found}"),
            expected @ ("int32" | "int64" | "float64" | "bool" | "string") => {
                format!("unrecognized type: {expected}")
            }
            _ => format!("cannot restore struct from: {found}"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, expected, .. } = self;
        let Some(owner) = self.owner else {
            return write!(f, "json: cannot unmarshal {found} into Go value of type {expected}");
        };
        write!(f, "json: cannot unmarshal {found} into Go struct field {owner}")?;
        self.fields.iter().rev().try_for_each(|field| write!(f, ".{field}"))?;
        write!(f, " of type {expected}")
    }
}
