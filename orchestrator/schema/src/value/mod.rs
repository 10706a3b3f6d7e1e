//! [`Value`]: a JSON value as the API server handles it between decoding and storing.
//!
//! Compact (field names of built-in kinds and defaulted strings are not allocated, objects are sorted vectors) and
//! canonical: equal values print equal bytes.

mod convert;
mod data;
mod object;
mod text;
pub(crate) mod write;

pub use object::Object;
pub use text::Str;

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other finite number.
    Float(f64),
    /// A string.
    String(Str),
    /// A list.
    Array(Vec<Value>),
    /// Named fields.
    Object(Object),
}

impl Value {
    /// An object without fields.
    pub const fn object() -> Self {
        Self::Object(Object::new())
    }

    /// A string that lives as long as the program: `Value::fixed(&"Always")`.
    pub const fn fixed(text: &'static &'static str) -> Self {
        Self::String(Str::fixed(text))
    }

    /// A field of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_object().and_then(|object| object.get(name))
    }

    /// A field of an object, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.as_object_mut().and_then(|object| object.get_mut(name))
    }

    /// The name of its type in Go, as upstream's messages have it.
    pub fn go_type(&self) -> &'static str {
        match self {
            Self::Null => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int64",
            Self::Float(_) => "float64",
            Self::String(_) => "string",
            Self::Array(_) => "[]interface {}",
            Self::Object(_) => "map[string]interface {}",
        }
    }

    /// A field at a path of names: `value.at(&["metadata", "name"])`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// A field at a path of names, to change.
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |value, name| value.get_mut(name))
    }

    /// The string at a path of names.
    pub fn str_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Value::as_str)
    }

    /// Sets the field at a path, making the objects on the way. What is not an object on the way is replaced.
    ///
    /// # Panics
    /// With an empty path.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let (last, parents) = path.split_last().expect("a path has at least one name");
        let object = parents.iter().fold(self.make_object(), |object, name| object.object_mut(*name));
        object.insert(*last, value);
    }

    /// Removes the field at a path.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        self.at_mut(parents)?.as_object_mut()?.remove(last)
    }

    /// This value as an object; anything else is replaced by an empty one.
    pub fn make_object(&mut self) -> &mut Object {
        if !matches!(self, Self::Object(_)) {
            *self = Self::object();
        }
        let Self::Object(object) = self else { unreachable!("it was made an object above") };
        object
    }

    /// The value a JSON pointer (RFC 6901) names: `/spec/containers/0/name`.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| {
            let token = unescape(token);
            match value {
                Value::Object(object) => object.get(&token),
                Value::Array(items) => items.get(parse_index(&token)?),
                _ => None,
            }
        })
    }

    /// The string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The whole number.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The items of a list.
    pub fn as_array(&self) -> Option<&Vec<Value>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The items of a list, to change.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The fields of an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The fields of an object, to change.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Parses JSON without a schema. Of a name given twice the last value wins.
    pub fn from_json(bytes: &[u8]) -> Result<Self, crate::json::SyntaxError> {
        crate::json::parse(bytes)
    }
}

/// A token of a JSON pointer as the name it stands for.
pub(crate) fn unescape(token: &str) -> std::borrow::Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

/// An index of a list as pointers write it: digits without leading zeros.
pub(crate) fn parse_index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
    if plain { token.parse().ok() } else { None }
}

#[cfg(test)]
pub(crate) mod tests;
