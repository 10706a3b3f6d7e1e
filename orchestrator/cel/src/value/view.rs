//! [`View`]: the caller's data read in place, and what its schema says of how to read it.

use std::rc::Rc;

use base64::Engine as _;

use super::time::{self, Time};
use super::{List, Map, Text, Value};
use crate::error::Error;

/// A JSON-like value of the caller's.
pub trait Data {
    /// What it is.
    fn stored(&self) -> Stored<'_>;

    /// An item of a list.
    fn item(&self, at: usize) -> Option<&dyn Data>;

    /// The field of an object with this name.
    fn field(&self, name: &str) -> Option<&dyn Data>;

    /// The name and the value of a field of an object by its number.
    fn entry(&self, at: usize) -> Option<(&str, &dyn Data)>;
}

/// What a value of the caller's is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stored<'d> {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A string.
    String(&'d str),
    /// A list of so many items.
    List(usize),
    /// An object of so many fields.
    Map(usize),
}

/// How a schema wants data to be read.
pub trait Shape {
    /// What the stored value stands for.
    fn reading(&self) -> Reading {
        Reading::Plain
    }

    /// How the items of a list, or the values of a map, are to be read.
    fn item(&self) -> Option<&dyn Shape>;

    /// The name under which the field is stored that expressions call `name`: as they call it by default. `None` if
    /// expressions do not see such a field.
    fn stored_name<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        Some(name)
    }

    /// How the field of that stored name is to be read.
    fn field(&self, stored: &str) -> Option<&dyn Shape>;

    /// How a list compares and adds.
    fn list_kind(&self) -> ListKind<'_> {
        ListKind::Atomic
    }
}

/// What a stored value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Itself.
    Plain,
    /// A floating point number, also where a whole one is stored.
    Double,
    /// A point in time as RFC 3339 writes it.
    DateTime,
    /// A day as RFC 3339 writes it.
    Date,
    /// A span of time: `1h30m`.
    Duration,
    /// Bytes in base64.
    Bytes,
}

/// How a list compares and adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind<'s> {
    /// In order.
    Atomic,
    /// In any order.
    Set,
    /// In any order, items being the same whose fields of these names are.
    Map(&'s [&'s str]),
}

/// A list or an object of the caller's.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The data.
    pub data: &'a dyn Data,
    /// How to read it, if that is known.
    pub shape: Option<&'a dyn Shape>,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({:?})", self.data.stored())
    }
}

impl<'a> View<'a> {
    /// The value this is read as.
    pub fn value(self) -> Result<Value<'a>, Error> {
        let reading = self.shape.map_or(Reading::Plain, Shape::reading);
        Ok(match self.data.stored() {
            Stored::Null => Value::Null,
            Stored::Bool(truth) => Value::Bool(truth),
            #[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
            Stored::Int(number) if reading == Reading::Double => Value::Double(number as f64),
            Stored::Int(number) => Value::Int(number),
            Stored::Double(number) => Value::Double(number),
            Stored::String(text) => return read(text, reading),
            Stored::List(_) => Value::List(List::View(self)),
            Stored::Map(_) => Value::Map(Map::View(self)),
        })
    }

    /// How many items or fields there are.
    pub fn len(self) -> usize {
        match self.data.stored() {
            Stored::List(len) | Stored::Map(len) => len,
            _ => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// An item of a list.
    pub fn item(self, at: usize) -> Option<Result<Value<'a>, Error>> {
        let data = self.data.item(at)?;
        Some(View { data, shape: self.shape.and_then(Shape::item) }.value())
    }

    /// A field by the name expressions give it.
    pub fn field(self, name: &str) -> Option<Result<Value<'a>, Error>> {
        let stored = match self.shape {
            Some(shape) => shape.stored_name(name)?,
            None => name,
        };
        let data = self.data.field(stored)?;
        Some(View { data, shape: self.shape.and_then(|shape| shape.field(stored)) }.value())
    }

    /// A field by its number, with the name it is stored under.
    pub fn entry(self, at: usize) -> Option<(Text<'a>, Result<Value<'a>, Error>)> {
        let (name, data) = self.data.entry(at)?;
        let shape = self.shape.and_then(|shape| shape.field(name));
        Some((Text::Borrowed(name), View { data, shape }.value()))
    }

    /// How this list compares and adds.
    pub(crate) fn list_kind(self) -> ListKind<'a> {
        self.shape.map_or(ListKind::Atomic, Shape::list_kind)
    }
}

fn read(text: &str, reading: Reading) -> Result<Value<'_>, Error> {
    match reading {
        Reading::Plain | Reading::Double => Ok(Value::from(text)),
        Reading::DateTime => Time::parse(text)
            .map(Value::Timestamp)
            .ok_or_else(|| Error::other(format!("Invalid timestamp: {text}"))),
        Reading::Date => Time::parse(&format!("{text}T00:00:00Z"))
            .map(Value::Timestamp)
            .ok_or_else(|| Error::other(format!("Invalid date: {text}"))),
        Reading::Duration => time::parse_duration(text).map(Value::Duration),
        Reading::Bytes => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map(|bytes| Value::Bytes(Rc::from(bytes)))
            .map_err(|_| Error::other("Invalid byte sequence")),
    }
}
