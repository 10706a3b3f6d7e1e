//! [`Value`]: what an expression works on and gives. The caller's own data is read through [`View`], without a copy.

mod compare;
mod entries;
mod list;
mod opaque;
mod text;
pub(crate) mod time;
mod view;

use std::rc::Rc;

pub use compare::equal;
pub(crate) use compare::order;
pub(crate) use entries::Entries;
pub use entries::{Fields, Key, Map, Message};
pub use list::List;
pub(crate) use list::check_len;
pub use opaque::Opaque;
pub use text::Text;
pub use time::Time;
pub use view::View;
pub use wherry_api::data::{Data, ListKind, Reading, Shape, Stored};

use wherry_api::quantity::Quantity;

use crate::error::Error;
use crate::syntax::ast::Literal;
use crate::types::Type;

/// Texts that were made are no longer than this. Costs bound most functions before; some only count what they read.
const MAX_TEXT: usize = 8 << 20;

/// Refuses a text of more bytes than an expression may make.
pub(crate) fn check_text(bytes: usize) -> Result<(), Error> {
    if bytes <= MAX_TEXT { Ok(()) } else { Err(Error::other("resulting string is too large")) }
}

/// A value. What lives in the caller's data or in the program is borrowed for `'a`; copies are cheap.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number with sign.
    Int(i64),
    /// A number without sign.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// A text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Rc<[u8]>),
    /// A list.
    List(List<'a>),
    /// A map, or an object of the caller's.
    Map(Map<'a>),
    /// A message that the expression made.
    Message(Rc<Message<'a>>),
    /// A point in time.
    Timestamp(Time),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// A type.
    Type(Type),
    /// A value that may be missing.
    Optional(Option<Rc<Value<'a>>>),
    /// A value of a library.
    Opaque(Rc<dyn Opaque>),
}

impl<'a> Value<'a> {
    /// The value of a constant of a program.
    pub(crate) fn constant(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(truth) => Self::Bool(*truth),
            Literal::Int(number) => Self::Int(*number),
            Literal::Uint(number) => Self::Uint(*number),
            Literal::Double(number) => Self::Double(*number),
            Literal::String(text) => Self::String(Text::Borrowed(text)),
            Literal::Bytes(bytes) => Self::Bytes(Rc::from(&**bytes)),
        }
    }

    /// The caller's data as a value.
    pub fn view(data: &'a dyn Data, shape: Option<&'a dyn Shape>) -> Result<Self, Error> {
        View { data, shape }.value()
    }

    /// A text that was made.
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A list that was made.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(List::Items(Rc::new(items)))
    }

    /// A map of text keys that was made.
    pub fn map(entries: impl IntoIterator<Item = (Text<'a>, Value<'a>)>) -> Self {
        Self::Map(Map::Entries(Rc::new(keyed(entries))))
    }

    /// A map of text keys, in which all others are empty maps.
    pub fn filled_map(entries: impl IntoIterator<Item = (Text<'a>, Value<'a>)>) -> Self {
        Self::Map(Map::Filled(Rc::new(keyed(entries))))
    }

    /// A quantity of a resource.
    pub fn quantity(quantity: Quantity) -> Self {
        crate::library::quantity(quantity)
    }

    /// A semantic version; what is wrong with it, if it is none.
    pub fn version(text: &str) -> Result<Self, String> {
        crate::library::version(text)
    }

    /// A value of a library.
    pub fn opaque(value: impl Opaque) -> Self {
        Self::Opaque(Rc::new(value))
    }

    /// An optional with a value.
    pub fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The library's value of type `T`.
    pub(crate) fn as_opaque<T: 'static>(&self) -> Option<&T> {
        let Self::Opaque(opaque) = self else { return None };
        (&**opaque as &dyn std::any::Any).downcast_ref()
    }

    /// The type, with `dyn` for what lists and maps hold.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Message(message) => Type::Object(message.name.clone()),
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::Type(_) => Type::Type(None),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Opaque(opaque) => Type::opaque(opaque.type_name()),
        }
    }

    /// Whether a parameter of that type takes this value.
    pub(crate) fn fits(&self, parameter: &Type) -> bool {
        match (parameter, self) {
            (Type::Dyn | Type::Param(_) | Type::Error, _)
            | (Type::Null, Self::Null)
            | (Type::Bool, Self::Bool(_))
            | (Type::Int, Self::Int(_))
            | (Type::Uint, Self::Uint(_))
            | (Type::Double, Self::Double(_))
            | (Type::String, Self::String(_))
            | (Type::Bytes, Self::Bytes(_))
            | (Type::Timestamp, Self::Timestamp(_))
            | (Type::Duration, Self::Duration(_))
            | (Type::Type(_), Self::Type(_))
            | (Type::Map(_), Self::Map(_)) => true,
            (Type::List(item), Self::List(list)) => {
                matches!(**item, Type::Dyn | Type::Param(_))
                    || list.first().is_none_or(|first| first.fits(item))
            }
            (Type::Opaque(name, _), Self::Optional(_)) => &**name == crate::types::OPTIONAL,
            (Type::Opaque(name, _), Self::Opaque(opaque)) => &**name == opaque.type_name(),
            (Type::Object(name), Self::Message(message)) => *name == message.name,
            _ => false,
        }
    }

    /// What `size()` says of it; one for what has no size.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Opaque(opaque) => opaque.size(),
            _ => 1,
        }
    }
}

fn keyed<'a>(entries: impl IntoIterator<Item = (Text<'a>, Value<'a>)>) -> Entries<'a> {
    entries.into_iter().map(|(name, value)| (Key::String(name), value)).collect()
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Text::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}
