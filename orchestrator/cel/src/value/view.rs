//! [`View`]: the caller's data read in place, and what its schema says of how to read it.

use std::rc::Rc;

use base64::Engine as _;
use wherry_api::data::{Data, ListKind, Reading, Shape, Stored};

use super::time::{self, Time};
use super::{List, Map, Text, Value};
use crate::error::Error;

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
