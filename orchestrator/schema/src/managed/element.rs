//! [`Element`]: one step of a field path, kept as the text that FieldsV1 writes for it.
//!
//! `f:name` is a field or an entry of a map, `k:{"name":"c"}` an item of a list by its keys, `v:"x"` an item by its
//! value, `i:0` an item by its place. The text is canonical, so equal elements have equal texts.

use std::cmp::Ordering;
use std::fmt;

use crate::schema::Name;
use crate::value::{Object, Str, Value};

/// One step of a field path. Ordered by its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element(Str);

/// A text that is no element of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// Shorter than the letter and the colon.
    #[error("key must be 2 characters long:")]
    Short,
    /// The second character is no colon.
    #[error("missing colon: {0}")]
    Colon(String),
    /// What follows the colon is not what the letter announces.
    #[error("invalid path element: {0}")]
    Content(String),
}

impl Element {
    /// A field of an object or an entry of a map.
    pub fn field(name: &str) -> Self {
        let mut text = String::with_capacity(name.len() + 2);
        text.push_str("f:");
        text.push_str(name);
        Self(text.into())
    }

    /// A field of a built-in type, by the text in its schema.
    pub(super) fn known(text: Name) -> Self {
        Self(Str::fixed(text))
    }

    /// An item of a set.
    pub fn value(value: &Value) -> Self {
        let mut text = b"v:".to_vec();
        write_escaped(value, &mut text);
        Self(utf8(text))
    }

    /// An item of a list told apart by keys.
    pub fn keys(mut keys: Vec<(&str, &Value)>) -> Self {
        keys.sort_by(|a, b| a.0.cmp(b.0));
        let mut text = b"k:{".to_vec();
        for (index, (name, value)) in keys.into_iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            crate::value::write::write_string(name, &mut text);
            text.push(b':');
            write_escaped(value, &mut text);
        }
        text.push(b'}');
        Self(utf8(text))
    }

    /// Reads an element; `None` is one of a type that is not known, which is passed over.
    pub fn parse(text: &str) -> Result<Option<Self>, ElementError> {
        let bytes = text.as_bytes();
        if bytes.len() < 2 {
            return Err(ElementError::Short);
        }
        if bytes[1] != b':' {
            return Err(ElementError::Colon(text.to_owned()));
        }
        let content = || ElementError::Content(text.to_owned());
        let value = || Value::from_json(&bytes[2..]).map_err(|_| content());
        Ok(match bytes[0] {
            b'f' => Some(Self(text.into())),
            b'v' => Some(Self::value(&value()?)),
            b'k' => match value()? {
                Value::Object(keys) => Some(Self::of_object(&keys)),
                _ => return Err(content()),
            },
            b'i' => match text[2..].parse::<i64>() {
                Ok(index) => Some(Self(format!("i:{index}").into())),
                Err(_) => return Err(content()),
            },
            _ => None,
        })
    }

    fn of_object(keys: &Object) -> Self {
        Self::keys(keys.iter().map(|(name, value)| (name.as_str(), value)).collect())
    }

    /// The text in FieldsV1.
    pub fn text(&self) -> &Str {
        &self.0
    }

    /// The name of the field or entry.
    pub fn name(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }

    fn content(&self) -> Value {
        self.0.get(2..).and_then(|text| Value::from_json(text.as_bytes()).ok()).unwrap_or_default()
    }

    /// The order in which messages list elements: names, then keys and values by what they mean.
    pub(super) fn meaning(&self, other: &Self) -> Ordering {
        let rank = |element: &Self| ["f:", "k:", "v:", "i:"].iter().position(|p| element.0.starts_with(*p));
        rank(self).cmp(&rank(other)).then_with(|| match self.name() {
            Some(_) => self.0.cmp(&other.0),
            None => by_value(&self.content(), &other.content()),
        })
    }
}

/// Numbers by size, strings by bytes; keys by name and value in turn.
fn by_value(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Object(a), Value::Object(b)) => {
            let differ = a.iter().zip(b.iter()).map(|((m, a), (n, b))| m.cmp(n).then_with(|| by_value(a, b)));
            differ.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (a, b) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.to_json_bytes().cmp(&b.to_json_bytes()),
        },
    }
}

/// As messages show it: `.name`, `[name="c"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            return write!(f, ".{name}");
        }
        match (self.0.as_bytes().first(), self.content()) {
            (Some(b'k'), Value::Object(keys)) => {
                for (index, (name, value)) in keys.iter().enumerate() {
                    write!(f, "{}{name}={value}", if index == 0 { "[" } else { "," })?;
                }
                f.write_str("]")
            }
            (Some(b'v'), value) => write!(f, "[={value}]"),
            (_, value) => write!(f, "[{value}]"),
        }
    }
}

/// Appends a value as Go's encoder prints it, which escapes what could end a script in a page.
pub(super) fn write_escaped(value: &Value, out: &mut Vec<u8>) {
    let from = out.len();
    value.write_json(out);
    if !out[from..].iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')) {
        return;
    }
    for byte in out.split_off(from) {
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' => out.extend_from_slice(b"\\u0026"),
            byte => out.push(byte),
        }
    }
}

fn utf8(text: Vec<u8>) -> Str {
    String::from_utf8(text).expect("JSON texts made of strings are UTF-8").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_print_as_messages_show_them() {
        let ports = Element::keys(vec![("protocol", &"TCP".into()), ("containerPort", &80.into())]);
        assert_eq!(ports.text(), &r#"k:{"containerPort":80,"protocol":"TCP"}"#);
        assert_eq!(ports.to_string(), r#"[containerPort=80,protocol="TCP"]"#);
        assert_eq!(Element::value(&"x".into()).to_string(), r#"[="x"]"#);
        assert_eq!(Element::field("a/b").to_string(), ".a/b");
        assert_eq!(Element::parse("i:3").unwrap().unwrap().to_string(), "[3]");
    }

    #[test]
    fn texts_are_made_canonical() {
        let parsed = Element::parse(r#"k:{ "b" : 1, "a":"<" }"#).unwrap().unwrap();
        assert_eq!(parsed.text(), &r#"k:{"a":"\u003c","b":1}"#);
        assert_eq!(Element::parse("x:1").unwrap(), None);
        assert_eq!(Element::parse("f"), Err(ElementError::Short));
        assert!(
            Element::parse("k:1").is_err()
                && Element::parse("i:x").is_err()
                && Element::parse("v:{").is_err()
        );
    }

    #[test]
    fn messages_order_numbers_by_size() {
        let port = |port: i64| Element::keys(vec![("port", &port.into())]);
        assert_eq!(port(80).meaning(&port(443)), Ordering::Less);
        assert_eq!(Element::field("z").meaning(&port(1)), Ordering::Less);
    }
}
