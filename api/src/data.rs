//! JSON-like data that is read in place: what expressions of the API work on, whoever holds it.
//!
//! [`Data`] says what is stored, [`Shape`] how a schema wants it to be read.

/// A JSON-like value.
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

impl Data for serde_json::Value {
    fn stored(&self) -> Stored<'_> {
        match self {
            Self::Null => Stored::Null,
            Self::Bool(truth) => Stored::Bool(*truth),
            Self::Number(number) => number
                .as_i64()
                .map_or_else(|| Stored::Double(number.as_f64().unwrap_or(f64::INFINITY)), Stored::Int),
            Self::String(text) => Stored::String(text),
            Self::Array(items) => Stored::List(items.len()),
            Self::Object(fields) => Stored::Map(fields.len()),
        }
    }

    fn item(&self, at: usize) -> Option<&dyn Data> {
        self.as_array()?.get(at).map(|item| item as &dyn Data)
    }

    fn field(&self, name: &str) -> Option<&dyn Data> {
        self.get(name).map(|field| field as &dyn Data)
    }

    fn entry(&self, at: usize) -> Option<(&str, &dyn Data)> {
        let (name, field) = self.as_object()?.iter().nth(at)?;
        Some((name, field as &dyn Data))
    }
}

/// What a value is.
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
    Map(&'s [String]),
}
