//! [`Decl`]: what a schema says to expressions: the types of values, how they are read, and how large they can be.
//!
//! What a schema leaves open is not seen by expressions: fields without a type, and fields whose names they cannot say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wherry_api::data::{ListKind, Reading, Shape};
use wherry_cel::{Range, Type, Types, escape};
use wherry_schema::structural::{self, Additional, ListType, Structural};

/// The most bytes that an object can have.
pub(super) const MOST_BYTES: u64 = 3 * 1024 * 1024;

/// What expressions know of a value.
#[derive(Debug)]
pub(super) struct Decl {
    pub(super) of: Type,
    /// The least bytes it takes in JSON.
    pub(super) min_size: u64,
    /// The most items, entries or bytes it has, as far as it has any.
    max: u64,
    holds: Holds,
    reading: Reading,
    list: ListType,
}

/// What is in a value.
#[derive(Debug)]
enum Holds {
    Nothing,
    /// Items, or entries of a map.
    Alike {
        element: Arc<Decl>,
        map: bool,
    },
    /// Named fields, by the names that expressions call them, and the names they are stored under.
    Fields(BTreeMap<String, (String, Arc<Decl>)>),
}

impl Decl {
    /// What expressions know of values of a schema; nothing if that is nothing. Types in it are named after `name`.
    pub(super) fn of(schema: &Structural, whole: bool, name: &str) -> Option<Self> {
        let whole = whole || schema.embedded;
        match schema.types {
            structural::Types::IntOrString => Some(Self::simple(Type::Dyn, 1, MOST_BYTES - 2)),
            structural::Types::Any if whole => Some(Self::fields(schema, whole, name)),
            structural::Types::Any => None,
            structural::Types::One(kind) => match kind {
                structural::Type::Array => Self::list(schema, name),
                structural::Type::Object => Self::object(schema, whole, name),
                structural::Type::String => Some(Self::text(schema)),
                structural::Type::Boolean => Some(Self::simple(Type::Bool, 4, 0)),
                structural::Type::Integer => Some(Self::simple(Type::Int, 1, 0)),
                structural::Type::Number => {
                    Some(Self { reading: Reading::Double, ..Self::simple(Type::Double, 1, 0) })
                }
            },
        }
    }

    fn simple(of: Type, min_size: u64, max: u64) -> Self {
        let (holds, reading, list) = (Holds::Nothing, Reading::Plain, ListType::Unsaid);
        Self { of, min_size, max, holds, reading, list }
    }

    fn text(schema: &Structural) -> Self {
        let most = schema.conditions.max_length.map(|most| most as u64);
        let (of, min_size, max, reading) = match schema.conditions.format.as_deref() {
            Some("byte") => (Type::Bytes, 2, most.unwrap_or(MOST_BYTES - 2), Reading::Bytes),
            Some("duration") => (Type::Duration, 3, 32, Reading::Duration),
            Some("date") => (Type::Timestamp, 12, 12, Reading::Date),
            Some("date-time") => (Type::Timestamp, 21, 32, Reading::DateTime),
            // A character has up to four bytes.
            _ => {
                (Type::String, 2, most.map_or(MOST_BYTES - 2, |most| most.saturating_mul(4)), Reading::Plain)
            }
        };
        Self { reading, ..Self::simple(of, min_size, max) }
    }

    fn list(schema: &Structural, name: &str) -> Option<Self> {
        let element = Arc::new(Self::of(schema.items.as_deref()?, false, &format!("{name}.@idx"))?);
        let most = schema.conditions.max_items.map(|most| most as u64);
        let max = most.unwrap_or((MOST_BYTES - 2) / (element.min_size + 1));
        let of = Type::list(element.of.clone());
        let (holds, list) = (Holds::Alike { element, map: false }, schema.list_type.clone());
        Some(Self { holds, list, ..Self::simple(of, 2, max) })
    }

    fn object(schema: &Structural, whole: bool, name: &str) -> Option<Self> {
        let Additional::Of(entry) = &schema.additional else {
            return Some(Self::fields(schema, whole, name));
        };
        let element = Arc::new(Self::of(entry, false, &format!("{name}.@elem"))?);
        let most = schema.conditions.max_properties.map(|most| most as u64);
        let max = most.unwrap_or((MOST_BYTES - 2) / (element.min_size + 6));
        let of = Type::map(Type::String, element.of.clone());
        Some(Self { holds: Holds::Alike { element, map: true }, ..Self::simple(of, 2, max) })
    }

    fn fields(schema: &Structural, whole: bool, name: &str) -> Self {
        let (mut fields, mut min_size) = (BTreeMap::new(), 2);
        let own = |property: &str| whole && matches!(property, "apiVersion" | "kind" | "metadata");
        for (property, inner) in schema.properties.iter().filter(|(property, _)| !own(property)) {
            let Some(decl) = Self::of(inner, false, &format!("{name}.{property}")) else { continue };
            if schema.conditions.required.contains(property) && inner.default.is_none() {
                min_size += property.len() as u64 + decl.min_size + 4;
            }
            if let Some(escaped) = escape(property) {
                fields.insert(escaped.into_owned(), (property.clone(), Arc::new(decl)));
            }
        }
        if whole {
            fields.extend(of_every_object(name));
        }
        Self { holds: Holds::Fields(fields), ..Self::simple(Type::object(name), min_size, 0) }
    }

    /// What a field is, by the name it is stored under.
    pub(super) fn stored_field(&self, stored: &str) -> Option<&Arc<Decl>> {
        match &self.holds {
            Holds::Fields(fields) => fields.get(&*escape(stored)?).map(|(_, decl)| decl),
            Holds::Alike { element, map: true } => Some(element),
            Holds::Alike { map: false, .. } | Holds::Nothing => None,
        }
    }

    /// What items or entries are.
    pub(super) fn element(&self) -> Option<&Arc<Decl>> {
        match &self.holds {
            Holds::Alike { element, .. } => Some(element),
            Holds::Nothing | Holds::Fields(_) => None,
        }
    }

    /// How large a part of the value can be, by the steps that lead there from a variable.
    pub(super) fn size(&self, path: &[String]) -> Option<Range> {
        let mut here = self;
        let mut steps = path.get(1..)?.iter().peekable();
        while let Some(step) = steps.next() {
            here = match step.as_str() {
                "@items" | "@values" => here.element()?,
                "@keys" if steps.peek().is_none() && here.element().is_some() => {
                    return Some(Range { min: 0, max: 0 });
                }
                name => match &here.holds {
                    Holds::Fields(fields) => &fields.get(name)?.1,
                    Holds::Nothing | Holds::Alike { .. } => return None,
                },
            };
        }
        Some(Range { min: 0, max: here.max })
    }
}

/// The fields that every object has, as far as expressions see them.
fn of_every_object(name: &str) -> [(String, (String, Arc<Decl>)); 3] {
    let text = || Arc::new(Decl::text(&Structural::default()));
    let field = |name: &str, decl: Arc<Decl>| (name.to_owned(), (name.to_owned(), decl));
    let names = [field("name", text()), field("generateName", text())];
    let of = Type::object(&format!("{name}.metadata"));
    let metadata = Decl { holds: Holds::Fields(names.into()), ..Decl::simple(of, 2, 0) };
    [field("apiVersion", text()), field("kind", text()), field("metadata", Arc::new(metadata))]
}

impl Shape for Decl {
    fn reading(&self) -> Reading {
        self.reading
    }

    fn item(&self) -> Option<&dyn Shape> {
        self.element().map(|element| &**element as &dyn Shape)
    }

    fn stored_name<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        match &self.holds {
            Holds::Fields(fields) => fields.get(name).map(|(stored, _)| stored.as_str()),
            Holds::Nothing | Holds::Alike { .. } => Some(name),
        }
    }

    fn field(&self, stored: &str) -> Option<&dyn Shape> {
        self.stored_field(stored).map(|decl| &**decl as &dyn Shape)
    }

    fn list_kind(&self) -> ListKind<'_> {
        match &self.list {
            ListType::Unsaid | ListType::Atomic => ListKind::Atomic,
            ListType::Set => ListKind::Set,
            ListType::Map(keys) => ListKind::Map(keys),
        }
    }
}

/// The object types in a declaration, by name.
#[derive(Debug, Default)]
pub(super) struct Declared(HashMap<String, HashMap<String, Type>>);

impl Declared {
    /// Those of a value and of all in it.
    pub(super) fn of(decl: &Decl) -> Self {
        let mut declared = Self::default();
        declared.add(decl);
        declared
    }

    /// Makes a field of an object type one of another type.
    pub(super) fn set(&mut self, name: &str, field: &str, to: Type) {
        if let Some(fields) = self.0.get_mut(name) {
            fields.insert(field.to_owned(), to);
        }
    }

    fn add(&mut self, decl: &Decl) {
        match &decl.holds {
            Holds::Nothing => {}
            Holds::Alike { element, .. } => self.add(element),
            Holds::Fields(fields) => {
                let types =
                    fields.iter().map(|(name, (_, field))| (name.clone(), field.of.clone())).collect();
                self.0.insert(decl.of.to_string(), types);
                for (_, field) in fields.values() {
                    self.add(field);
                }
            }
        }
    }
}

impl Types for Declared {
    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn field(&self, name: &str, field: &str) -> Option<Type> {
        self.0.get(name)?.get(field).cloned()
    }
}
