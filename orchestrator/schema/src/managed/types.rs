//! [`Type`]: what a schema says of a place in an object, and how its parts are owned.

use super::element::Element;
use crate::schema::{Field, Node, Root, Schema, Schemas, Struct, Topology};
use crate::structural::{self, Additional, ListType, MapType, OF_EVERY_OBJECT, Structural, Types};
use crate::value::Value;

/// The type of a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type<'s> {
    /// A built-in type, with what its field says of its parts.
    Known { node: Node, topology: Topology },
    /// What a definition says.
    Custom {
        schema: &'s Structural,
        /// Whether it has what every object has.
        whole: bool,
        /// Whether fields that are not described are kept.
        keeps: bool,
    },
    /// What its value is: objects by their entries, all else as a whole.
    Free,
}

/// What a value of a type is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Atom<'s> {
    /// One value.
    Scalar(Scalar),
    /// Anything, owned as a whole.
    Any,
    /// A type with named fields.
    Struct { fields: &'static Struct, atomic: bool },
    /// An object as a definition describes it.
    Fields(Type<'s>, &'s Structural),
    /// Entries of one type.
    Map { element: Type<'s>, atomic: bool },
    /// Items of one type.
    List { element: Type<'s>, items: Items<'s> },
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
pub(super) enum Items<'s> {
    /// Not at all: the list is owned as a whole.
    Atomic,
    /// By their values.
    Set,
    /// By these fields.
    Keys(&'static [&'static str]),
    /// By these fields, which a definition names.
    Named(&'s [String]),
}

/// What a field of an object is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Child {
    /// A field of a built-in type.
    Known(&'static Field),
    /// A field that a definition describes.
    Named,
    /// An entry of a map.
    Entry,
}

impl<'s> Type<'s> {
    pub(super) fn root(schema: &'s Schema) -> Self {
        match schema.root() {
            Root::Builtin(index) => Self::plain(Node::Struct(*index)),
            Root::Custom { structural, .. } => Self::custom(structural, true, false),
        }
    }

    fn custom(schema: &'s Structural, whole: bool, keeps: bool) -> Self {
        let whole = whole || schema.embedded;
        Self::Custom { schema, whole, keeps: keeps || schema.keeps_unknown }
    }

    fn of(field: &Field) -> Self {
        Self::Known { node: field.node, topology: field.topology }
    }

    fn plain(node: Node) -> Self {
        Self::Known { node, topology: Topology::Default }
    }

    /// What these values of the type are made of, which need not be there.
    pub(super) fn atom(self, values: [Option<&Value>; 2]) -> Atom<'s> {
        match self {
            Self::Known { node, topology } => known_atom(node, topology),
            Self::Custom { schema, keeps, .. } => match schema.types {
                Types::One(structural::Type::Object) => Atom::Fields(self, schema),
                Types::One(structural::Type::Array) => list(schema, keeps),
                Types::One(structural::Type::String) => Atom::Scalar(Scalar::String),
                Types::One(structural::Type::Boolean) => Atom::Scalar(Scalar::Boolean),
                Types::One(structural::Type::Integer | structural::Type::Number) => {
                    Atom::Scalar(Scalar::Numeric)
                }
                Types::Any | Types::IntOrString => match shape(values) {
                    Some(Value::Object(_)) => Atom::Fields(self, schema),
                    Some(Value::Array(_)) => list(schema, keeps),
                    _ => Atom::Any,
                },
            },
            Self::Free => match shape(values) {
                Some(Value::Object(_)) => Atom::Map { element: Self::Free, atomic: false },
                _ => Atom::Any,
            },
        }
    }

    /// The type of what lies below an element, and whether the element is a named field.
    pub(super) fn below(self, element: &Element) -> (Option<Self>, bool) {
        match (self, element.name()) {
            (Self::Known { node: Node::Struct(index), .. }, Some(name)) => {
                let field = Schemas::builtin().structure(index).field(name);
                (field.map(Type::of), field.is_some())
            }
            (Self::Known { node: Node::Map(inner) | Node::List(inner), .. }, _) => {
                (Some(Self::plain(Schemas::builtin().element(inner))), false)
            }
            (Self::Custom { schema, .. }, Some(name)) => match Atom::Fields(self, schema).child(name) {
                Some((of, child)) => (Some(of), !matches!(child, Child::Entry)),
                None => (None, false),
            },
            (Self::Custom { schema, keeps, .. }, None) => {
                (schema.items.as_deref().map(|items| Self::custom(items, false, keeps)), false)
            }
            (Self::Known { .. } | Self::Free, _) => (None, false),
        }
    }

    /// What identifies an item without this key.
    fn key_default(self, key: &str) -> Option<&'s Value> {
        match self {
            Self::Known { node: Node::Struct(index), .. } => {
                Schemas::builtin().structure(index).field(key)?.key_default.as_ref()
            }
            Self::Custom { schema, .. } => schema.properties.get(key)?.default.as_ref(),
            Self::Known { .. } | Self::Free => None,
        }
    }
}

fn known_atom(node: Node, topology: Topology) -> Atom<'static> {
    let schemas = Schemas::builtin();
    let atomic = topology == Topology::Atomic;
    match node {
        Node::String | Node::Time | Node::MicroTime | Node::Bytes => Atom::Scalar(Scalar::String),
        Node::Int32 | Node::Int64 | Node::Float => Atom::Scalar(Scalar::Numeric),
        Node::Bool => Atom::Scalar(Scalar::Boolean),
        Node::IntOrString | Node::Quantity => Atom::Scalar(Scalar::Untyped),
        Node::Any => Atom::Any,
        Node::Struct(index) => {
            let fields = schemas.structure(index);
            let granular = topology == Topology::Granular;
            Atom::Struct { fields, atomic: atomic || fields.atomic && !granular }
        }
        Node::Map(element) => Atom::Map { element: Type::plain(schemas.element(element)), atomic },
        Node::List(element) => {
            let items = match topology {
                Topology::Set => Items::Set,
                Topology::Keys(keys) => Items::Keys(keys),
                Topology::Default | Topology::Atomic | Topology::Granular => Items::Atomic,
            };
            Atom::List { element: Type::plain(schemas.element(element)), items }
        }
    }
}

/// A list as a definition describes it.
fn list(schema: &Structural, keeps: bool) -> Atom<'_> {
    let element = schema.items.as_deref().map_or(Type::Free, |items| Type::custom(items, false, keeps));
    let items = match &schema.list_type {
        ListType::Unsaid | ListType::Atomic => Items::Atomic,
        ListType::Set => Items::Set,
        ListType::Map(keys) => Items::Named(keys),
    };
    Atom::List { element, items }
}

/// The values' common shape: that of either, unless they differ. Null has none.
fn shape(values: [Option<&Value>; 2]) -> Option<&Value> {
    match values.map(|value| value.filter(|value| !value.is_null())) {
        [Some(a), Some(b)] => (std::mem::discriminant(a) == std::mem::discriminant(b)).then_some(a),
        [found, None] | [None, found] => found,
    }
}

impl Items<'_> {
    /// The path element of an item; an atomic list has none.
    pub(super) fn element(self, item: &Value, of: Type<'_>) -> Result<Element, String> {
        match self {
            Self::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            Self::Set => set_element(item),
            Self::Keys(keys) => keyed_element(item, of, keys.iter().copied()),
            Self::Named(keys) => keyed_element(item, of, keys.iter().map(String::as_str)),
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

fn keyed_element<'k>(
    item: &Value,
    of: Type<'_>,
    keys: impl Iterator<Item = &'k str>,
) -> Result<Element, String> {
    let item = match item {
        Value::Object(item) => item,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let found = keys.map(|key| {
        let value = item.get(key).or_else(|| of.key_default(key)).ok_or_else(|| {
            format!(
                "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
            )
        })?;
        Ok((key, value))
    });
    Ok(Element::keys(found.collect::<Result<_, String>>()?))
}

impl<'s> Atom<'s> {
    /// Whether it is owned as a whole.
    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::Scalar(_) | Self::Any => true,
            Self::Struct { atomic, .. } | Self::Map { atomic, .. } => atomic,
            Self::Fields(_, schema) => schema.map_type == MapType::Atomic,
            Self::List { items, .. } => items == Items::Atomic,
        }
    }

    /// The type of a field or entry, and what it is.
    pub(super) fn child(self, name: &str) -> Option<(Type<'s>, Child)> {
        match self {
            Self::Struct { fields, .. } => {
                fields.field(name).map(|field| (Type::of(field), Child::Known(field)))
            }
            Self::Fields(of, schema) => described_child(of, schema, name),
            Self::Map { element, .. } => Some((element, Child::Entry)),
            Self::Scalar(_) | Self::Any | Self::List { .. } => None,
        }
    }
}

/// A field as a definition describes it, or does not have to.
fn described_child<'s>(of: Type<'s>, schema: &'s Structural, name: &str) -> Option<(Type<'s>, Child)> {
    let Type::Custom { whole, keeps, .. } = of else { return None };
    if whole && OF_EVERY_OBJECT.contains(&name) {
        let metadata = Schemas::metadata().node().filter(|_| name == "metadata");
        return Some((Type::plain(metadata.unwrap_or(Node::String)), Child::Named));
    }
    if let Some(field) = schema.properties.get(name) {
        return Some((Type::custom(field, false, keeps), Child::Named));
    }
    match &schema.additional {
        Additional::Of(entry) => Some((Type::custom(entry, false, keeps), Child::Entry)),
        Additional::Any => Some((Type::Free, Child::Entry)),
        Additional::None if keeps || (schema.properties.is_empty() && !whole) => {
            Some((Type::Free, Child::Entry))
        }
        Additional::None => None,
    }
}

/// The path element of a field or entry.
pub(super) fn field_element(name: &str, child: Child) -> Element {
    match child {
        Child::Known(field) => Element::known(field.element),
        Child::Named | Child::Entry => Element::field(name),
    }
}
