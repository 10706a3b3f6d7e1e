//! [`Type`]: what is known of a value before it exists.

use std::fmt;
use std::sync::Arc;

/// The type of an expression or a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// What a wrong expression has; fits everything, so that one mistake is told once.
    Error,
    /// Known only at run time.
    Dyn,
    /// `null`.
    Null,
    /// `true` and `false`.
    Bool,
    /// 64 bits with sign.
    Int,
    /// 64 bits without sign.
    Uint,
    /// 64 bit floating point.
    Double,
    /// Unicode text.
    String,
    /// Bytes.
    Bytes,
    /// A point in time.
    Timestamp,
    /// A span of time.
    Duration,
    /// A type as a value.
    Type(Option<Arc<Type>>),
    /// A list of items of one type.
    List(Arc<Type>),
    /// A map of keys to values.
    Map(Arc<(Type, Type)>),
    /// A message with named fields, which [`Types`] knows.
    Object(Arc<str>),
    /// A type of a library, perhaps with parameters: `optional_type(int)`.
    Opaque(Arc<str>, Arc<[Type]>),
    /// A parameter in the declaration of a function, or a type not yet found.
    Param(Arc<str>),
}

/// The object types that a caller declares.
pub trait Types: Send + Sync {
    /// Whether there is an object type of that name.
    fn contains(&self, name: &str) -> bool;

    /// The type of a field of an object type.
    fn field(&self, name: &str, field: &str) -> Option<Type>;
}

/// The name of the type of optional values.
pub(crate) const OPTIONAL: &str = "optional_type";

impl Type {
    /// `list(item)`.
    pub fn list(item: Type) -> Self {
        Self::List(Arc::new(item))
    }

    /// `map(key, value)`.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// An object type that [`Types`] knows by this name.
    pub fn object(name: &str) -> Self {
        Self::Object(name.into())
    }

    /// A type of a library, or of the caller, without fields.
    pub fn opaque(name: &str) -> Self {
        Self::Opaque(name.into(), Arc::new([]))
    }

    /// `optional_type(value)`.
    pub fn optional(value: Type) -> Self {
        Self::Opaque(OPTIONAL.into(), Arc::new([value]))
    }

    /// The type as `type()` names it, with its parameters: `list(google.protobuf.Timestamp)`.
    pub fn declared(&self) -> String {
        let name = self.runtime_name();
        let params: Vec<String> = match self {
            Self::Type(Some(of)) => vec![of.declared()],
            Self::List(item) => vec![item.declared()],
            Self::Map(entry) => vec![entry.0.declared(), entry.1.declared()],
            Self::Opaque(_, of) => of.iter().map(Self::declared).collect(),
            _ => Vec::new(),
        };
        if params.is_empty() { name.to_owned() } else { format!("{name}({})", params.join(", ")) }
    }

    /// What an optional holds, and whether it was one.
    pub(crate) fn unwrap_optional(self) -> (Self, bool) {
        match &self {
            Self::Opaque(name, of) if &**name == OPTIONAL && of.len() == 1 => (of[0].clone(), true),
            _ => (self, false),
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// The name without parameters.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Error => "!error!",
            Self::Dyn => "dyn",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Type(_) => "type",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(name) | Self::Opaque(name, _) | Self::Param(name) => name,
        }
    }

    /// The type of that name, as `type()` values print.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "null_type" => Self::Null,
            "type" => Self::Type(None),
            "dyn" => Self::Dyn,
            "list" => Self::list(Self::Dyn),
            "map" => Self::map(Self::Dyn, Self::Dyn),
            "google.protobuf.Timestamp" => Self::Timestamp,
            "google.protobuf.Duration" => Self::Duration,
            OPTIONAL => Self::optional(Self::Dyn),
            _ => return None,
        })
    }

    /// The name that a `type()` value of this type has.
    pub(crate) fn runtime_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            other => other.name(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Type(Some(of)) => write!(f, "({of})"),
            Self::List(item) => write!(f, "({item})"),
            Self::Map(entry) => write!(f, "({}, {})", entry.0, entry.1),
            Self::Opaque(_, of) if !of.is_empty() => write!(f, "({})", Listed(of)),
            _ => Ok(()),
        }
    }
}

/// Types with commas between them.
pub(crate) struct Listed<'t>(pub(crate) &'t [Type]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, of) in self.0.iter().enumerate() {
            write!(f, "{}{of}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Reads types as they print: `map(string, list(A))`, where a single capital is a parameter.
pub(crate) fn read(text: &str) -> Type {
    let (name, inside) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
        None => (text, ""),
    };
    let of = read_list(inside);
    match (name, of.as_slice()) {
        ("list", [item]) => Type::list(item.clone()),
        ("map", [key, value]) => Type::map(key.clone(), value.clone()),
        ("type", [of]) => Type::Type(Some(Arc::new(of.clone()))),
        ("null", []) => Type::Null,
        ("timestamp", []) => Type::Timestamp,
        ("duration", []) => Type::Duration,
        (name, []) if name.len() == 1 => Type::Param(name.into()),
        (name, []) => Type::named(name).unwrap_or_else(|| Type::opaque(name)),
        (name, of) => Type::Opaque(name.into(), of.into()),
    }
}

/// Reads types with commas between them.
pub(crate) fn read_list(text: &str) -> Vec<Type> {
    let (mut depth, mut start, mut types) = (0_usize, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                types.push(read(text[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text.trim().is_empty() {
        types.push(read(text[start..].trim()));
    }
    types
}

#[cfg(test)]
mod tests {
    use super::{Type, read};

    #[test]
    fn types_print_as_they_are_read() {
        for text in
            ["int", "list(string)", "map(string, list(dyn))", "optional_type(list(A))", "net.IP", "type(int)"]
        {
            assert_eq!(read(text).to_string(), text);
        }
        assert_eq!(read("list(A)"), Type::list(Type::Param("A".into())));
    }

    #[test]
    fn types_are_declared_by_the_names_that_values_have() {
        for (text, declared) in [
            ("null", "null_type"),
            ("map(string, timestamp)", "map(string, google.protobuf.Timestamp)"),
            ("list(list(dyn))", "list(list(dyn))"),
            ("optional_type(duration)", "optional_type(google.protobuf.Duration)"),
        ] {
            assert_eq!(read(text).declared(), declared);
        }
    }
}
