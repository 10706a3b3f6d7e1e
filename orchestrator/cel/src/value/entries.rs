//! [`Map`]: an object of the caller's, a map that was made, or fields that are computed when asked for; and
//! [`Message`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};

use super::{Text, Value, View};
use crate::error::Error;

/// The key of a map that was made.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// A truth value.
    Bool(bool),
    /// A number with sign.
    Int(i64),
    /// A number without sign; equals the one with sign of the same value.
    Uint(u64),
    /// A text.
    String(Text<'a>),
}

/// A key by reference, by which equal keys hash equally.
#[derive(Hash, PartialEq, Eq)]
enum Asked<'k> {
    Bool(bool),
    Number(i128),
    String(&'k str),
}

impl Key<'_> {
    fn asked(&self) -> Asked<'_> {
        match self {
            Self::Bool(truth) => Asked::Bool(*truth),
            Self::Int(number) => Asked::Number((*number).into()),
            Self::Uint(number) => Asked::Number((*number).into()),
            Self::String(text) => Asked::String(text),
        }
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.asked() == other.asked()
    }
}

impl Eq for Key<'_> {}

impl<'a> Equivalent<Key<'a>> for Asked<'_> {
    fn equivalent(&self, key: &Key<'a>) -> bool {
        *self == key.asked()
    }
}

/// A value as a key that is looked for; whole floating point numbers find whole numbers.
fn asked<'k>(key: &'k Value<'_>) -> Option<Asked<'k>> {
    Some(match key {
        Value::Bool(truth) => Asked::Bool(*truth),
        Value::Int(number) => Asked::Number((*number).into()),
        Value::Uint(number) => Asked::Number((*number).into()),
        #[expect(clippy::cast_possible_truncation, reason = "only whole numbers of this range are cast")]
        Value::Double(number) if number.fract() == 0.0 && number.abs() < 1e19 => {
            Asked::Number(*number as i128)
        }
        Value::String(text) => Asked::String(text),
        _ => return None,
    })
}

impl<'a> From<Key<'a>> for Value<'a> {
    fn from(key: Key<'a>) -> Self {
        match key {
            Key::Bool(truth) => Self::Bool(truth),
            Key::Int(number) => Self::Int(number),
            Key::Uint(number) => Self::Uint(number),
            Key::String(text) => Self::String(text),
        }
    }
}

impl<'a> TryFrom<Value<'a>> for Key<'a> {
    type Error = Error;

    fn try_from(value: Value<'a>) -> Result<Self, Error> {
        match value {
            Value::Bool(truth) => Ok(Self::Bool(truth)),
            Value::Int(number) => Ok(Self::Int(number)),
            Value::Uint(number) => Ok(Self::Uint(number)),
            Value::String(text) => Ok(Self::String(text)),
            other => Err(Error::other(format!("unsupported key type: {}", other.type_of()))),
        }
    }
}

/// The entries of a map that was made, in the order in which they were.
pub(crate) type Entries<'a> = IndexMap<Key<'a>, Value<'a>>;

/// Fields that the caller computes when they are asked for.
pub trait Fields<'a> {
    /// The value of a field, or `None` if there is no such field.
    fn field(&self, name: &str) -> Option<Result<Value<'a>, Error>>;
}

/// A map or an object.
#[derive(Clone)]
pub enum Map<'a> {
    /// Of the caller's data.
    View(View<'a>),
    /// Made by the evaluation.
    Entries(Rc<IndexMap<Key<'a>, Value<'a>>>),
    /// Made by the caller; what is not in it is an empty map.
    Filled(Rc<IndexMap<Key<'a>, Value<'a>>>),
    /// Computed by the caller. Has no size and cannot be iterated over.
    Fields(Rc<dyn Fields<'a> + 'a>),
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View(view) => view.fmt(f),
            Self::Entries(entries) | Self::Filled(entries) => entries.fmt(f),
            Self::Fields(_) => f.write_str("Fields"),
        }
    }
}

impl<'a> Map<'a> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Self::View(view) => view.len(),
            Self::Entries(entries) | Self::Filled(entries) => entries.len(),
            Self::Fields(_) => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a text key.
    pub fn field(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        match self {
            Self::View(view) => view.field(name),
            Self::Entries(entries) => entries.get(&Asked::String(name)).cloned().map(Ok),
            Self::Filled(entries) => {
                let found = entries.get(&Asked::String(name)).cloned();
                Some(Ok(found.unwrap_or_else(|| Value::map([]))))
            }
            Self::Fields(fields) => fields.field(name),
        }
    }

    /// Whether there is a value of this key.
    pub(crate) fn has(&self, key: &Value<'_>) -> bool {
        match self {
            Self::Filled(entries) => asked(key).is_some_and(|key| entries.contains_key(&key)),
            _ => self.get(key).is_some(),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'_>) -> Option<Result<Value<'a>, Error>> {
        match (self, key) {
            (_, Value::String(name)) => self.field(name),
            (Self::Entries(entries), _) => entries.get(&asked(key)?).cloned().map(Ok),
            _ => None,
        }
    }

    /// An entry by its number.
    pub fn entry(&self, at: usize) -> Option<(Value<'a>, Result<Value<'a>, Error>)> {
        match self {
            Self::View(view) => view.entry(at).map(|(name, value)| (Value::String(name), value)),
            Self::Entries(entries) | Self::Filled(entries) => {
                entries.get_index(at).map(|(key, value)| (key.clone().into(), Ok(value.clone())))
            }
            Self::Fields(_) => None,
        }
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (Value<'a>, Result<Value<'a>, Error>)> + '_ {
        (0..self.len()).map_while(|at| self.entry(at))
    }
}

/// A message that an expression made: `Object{spec: ...}`.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The name of its type.
    pub name: Arc<str>,
    /// The fields that it gives.
    pub fields: IndexMap<Box<str>, Value<'a>>,
}
