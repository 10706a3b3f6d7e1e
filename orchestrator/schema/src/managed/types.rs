//! [`Type`]: what a schema says of a place in an object, and how its parts are owned.

use super::element::Element;
use crate::schema::{Field, Node, Schema, Schemas, Struct, Topology};
use crate::value::{Object, Value};

/// The type of a place, with what its field says of its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    node: Node,
    topology: Topology,
}

/// What a value of a type is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Atom {
    /// One value.
    Scalar(Scalar),
    /// Anything, owned as a whole.
    Any,
    /// A type with named fields.
    Struct { fields: &'static Struct, atomic: bool },
    /// Entries of one type.
    Map { element: Type, atomic: bool },
    /// Items of one type.
    List { element: Type, items: Items },
}

/// Which scalars a place takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    String,
    Boolean,
    /// Any of them.
    Untyped,
}

/// How the items of a list are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Items {
    /// Not at all: the list is owned as a whole.
    Atomic,
    /// By their values.
    Set,
    /// By these fields.
    Keys(&'static [&'static str]),
}

impl Type {
    pub(super) fn root(schema: &Schema) -> Self {
        Self { node: schema.node(), topology: Topology::Default }
    }

    pub(super) fn of(field: &Field) -> Self {
        Self { node: field.node, topology: field.topology }
    }

    fn plain(node: Node) -> Self {
        Self { node, topology: Topology::Default }
    }

    pub(super) fn atom(self) -> Atom {
        let schemas = Schemas::builtin();
        let atomic = self.topology == Topology::Atomic;
        match self.node {
            Node::String | Node::Time | Node::MicroTime | Node::Bytes => Atom::Scalar(Scalar::String),
            Node::Int32 | Node::Int64 | Node::Float => Atom::Scalar(Scalar::Numeric),
            Node::Bool => Atom::Scalar(Scalar::Boolean),
            Node::IntOrString | Node::Quantity => Atom::Scalar(Scalar::Untyped),
            Node::Any => Atom::Any,
            Node::Struct(index) => {
                let fields = schemas.structure(index);
                let granular = self.topology == Topology::Granular;
                Atom::Struct { fields, atomic: atomic || fields.atomic && !granular }
            }
            Node::Map(element) => Atom::Map { element: Self::plain(schemas.element(element)), atomic },
            Node::List(element) => {
                let items = match self.topology {
                    Topology::Set => Items::Set,
                    Topology::Keys(keys) => Items::Keys(keys),
                    Topology::Default | Topology::Atomic | Topology::Granular => Items::Atomic,
                };
                Atom::List { element: Self::plain(schemas.element(element)), items }
            }
        }
    }

    /// What identifies an item without this key.
    fn key_default(self, key: &str) -> Option<&'static Value> {
        let Node::Struct(index) = self.node else { return None };
        Schemas::builtin().structure(index).field(key)?.key_default.as_ref()
    }
}

impl Items {
    /// The path element of an item; an atomic list has none.
    pub(super) fn element(self, item: &Value, of: Type) -> Result<Element, String> {
        match self {
            Self::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            Self::Set => set_element(item),
            Self::Keys(keys) => match item {
                Value::Object(item) => keyed_element(item, of, keys),
                Value::Null => Err("associative list with keys may not have a null element".to_owned()),
                _ => Err("associative list with keys may not have non-map elements".to_owned()),
            },
        }
    }
}

fn set_element(item: &Value) -> Result<Element, String> {
    let refused = match item {
        Value::Object(_) => "associative list without keys has an element that's a map type",
        Value::Array(_) => "not supported: associative list with lists as elements",
        Value::Null => "associative list without keys has an element that's an explicit null",
        scalar => return Ok(Element::value(scalar)),
    };
    Err(refused.to_owned())
}

fn keyed_element(item: &Object, of: Type, keys: &[&'static str]) -> Result<Element, String> {
    let found = keys.iter().map(|key| {
        let value = item.get(key).or_else(|| of.key_default(key)).ok_or_else(|| {
            format!(
                "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
            )
        })?;
        Ok((*key, value))
    });
    Ok(Element::keys(found.collect::<Result<_, String>>()?))
}

impl Atom {
    /// Whether it is owned as a whole.
    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::Scalar(_) | Self::Any => true,
            Self::Struct { atomic, .. } | Self::Map { atomic, .. } => atomic,
            Self::List { items, .. } => items == Items::Atomic,
        }
    }

    /// The type of a field or entry, and its path element.
    pub(super) fn child(self, name: &str) -> Option<(Type, Option<&'static Field>)> {
        match self {
            Self::Struct { fields, .. } => fields.field(name).map(|field| (Type::of(field), Some(field))),
            Self::Map { element, .. } => Some((element, None)),
            Self::Scalar(_) | Self::Any | Self::List { .. } => None,
        }
    }
}

/// The path element of a field or entry.
pub(super) fn field_element(name: &str, field: Option<&'static Field>) -> Element {
    field.map_or_else(|| Element::field(name), |field| Element::known(field.element))
}
