//! FieldsV1: how an object writes a set of field paths.
//!
//! Each element is a name whose value holds what lies below it. An empty value says that the path itself is in the
//! set; where something lies below, `.` says so.

use super::element::{Element, ElementError};
use super::set::{Node, Set};
use crate::patch::type_name;
use crate::value::{Object, Str, Value};

/// A value that is no FieldsV1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A name that is no element of a path.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// Something else than an object.
    #[error("expect {{ or n, but found {0}")]
    Shape(&'static str),
}

const SELF: &str = ".";

impl Set {
    /// The set as FieldsV1.
    pub fn to_fields(&self) -> Value {
        Value::Object(self.object(false))
    }

    fn object(&self, member: bool) -> Object {
        let mut fields = Vec::with_capacity(self.nodes.len() + usize::from(member));
        if member && !self.nodes.is_empty() {
            fields.push((Str::fixed(&SELF), Value::object()));
        }
        for node in &self.nodes {
            fields.push((node.element.text().clone(), Value::Object(node.children.object(node.member))));
        }
        Object::from_fields(fields)
    }

    /// Reads FieldsV1. Elements of unknown types are passed over.
    pub fn from_fields(fields: &Value) -> Result<Self, FieldsError> {
        Ok(read(fields)?.1)
    }
}

/// Whether the path itself is in the set, and what lies below it.
fn read(fields: &Value) -> Result<(bool, Set), FieldsError> {
    let object = match fields {
        Value::Object(object) => object,
        Value::Null => return Ok((true, Set::default())),
        other => return Err(FieldsError::Shape(type_name(other))),
    };
    let mut set = Set { nodes: Vec::with_capacity(object.len()) };
    let mut member = false;
    for (name, value) in object.iter() {
        if name == SELF {
            member = true;
            continue;
        }
        if let Some(element) = Element::parse(name)? {
            let (member, children) = read(value)?;
            set.union(Set { nodes: vec![Node { element, member, children }] });
        }
    }
    let member = member || set.is_empty();
    Ok((member, set))
}
