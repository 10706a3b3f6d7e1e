//! A pull parser of JSON text: the decoder asks for what its schema expects next.
//!
//! Errors read as those of Go's `encoding/json`, which is what users of Kubernetes know. Nesting is bounded, no input
//! panics, and invalid UTF-8 in strings becomes U+FFFD, as there.

mod error;
mod scalar;

use std::borrow::Cow;

pub use error::SyntaxError;

use crate::value::{Object, Str, Value};

/// How deep arrays and objects may nest; no Kubernetes object comes near.
const MAX_DEPTH: usize = 200;

/// What the next value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// The name by which errors call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// A position in a JSON text.
pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// The next byte that is not white space.
    fn next_byte(&mut self) -> Result<u8, SyntaxError> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(SyntaxError::unexpected_end())
    }

    /// What the value that starts here is.
    pub(crate) fn peek(&mut self) -> Result<Kind, SyntaxError> {
        Ok(match self.next_byte()? {
            b'n' => Kind::Null,
            b't' | b'f' => Kind::Bool,
            b'"' => Kind::String,
            b'[' => Kind::Array,
            b'{' => Kind::Object,
            b'-' | b'0'..=b'9' => Kind::Number,
            byte => return Err(SyntaxError::character(byte, "looking for beginning of value")),
        })
    }

    /// Enters the object or array that starts here.
    pub(crate) fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::too_deep());
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of the object entered, its colon behind it; `None` leaves the object.
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, SyntaxError> {
        let mut byte = self.next_byte()?;
        if byte == b'}' && *first {
            return Ok(self.leave());
        }
        if !std::mem::take(first) {
            match byte {
                b'}' => return Ok(self.leave()),
                b',' => self.at += 1,
                _ => return Err(SyntaxError::character(byte, "after object key:value pair")),
            }
            byte = self.next_byte()?;
        }
        if byte != b'"' {
            return Err(SyntaxError::character(byte, "looking for beginning of object key string"));
        }
        let key = self.string()?;
        match self.next_byte()? {
            b':' => self.at += 1,
            byte => return Err(SyntaxError::character(byte, "after object key")),
        }
        Ok(Some(key))
    }

    /// Whether the array entered has another item, which then starts here; `false` leaves the array.
    pub(crate) fn next_item(&mut self, first: &mut bool) -> Result<bool, SyntaxError> {
        let byte = self.next_byte()?;
        if byte == b']' && *first {
            self.leave::<()>();
            return Ok(false);
        }
        if !std::mem::take(first) {
            match byte {
                b']' => {
                    self.leave::<()>();
                    return Ok(false);
                }
                b',' => self.at += 1,
                _ => return Err(SyntaxError::character(byte, "after array element")),
            }
        }
        Ok(true)
    }

    fn leave<T>(&mut self) -> Option<T> {
        self.depth -= 1;
        self.at += 1;
        None
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), SyntaxError> {
        match self.next_byte() {
            Err(_) => Ok(()),
            Ok(byte) => Err(SyntaxError::character(byte, "after top-level value")),
        }
    }

    /// Passes over the value that starts here, checking its syntax.
    pub(crate) fn skip(&mut self) -> Result<(), SyntaxError> {
        match self.peek()? {
            Kind::Null => self.null(),
            Kind::Bool => self.boolean().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::String => self.string().map(drop),
            Kind::Array => {
                self.enter()?;
                let mut first = true;
                while self.next_item(&mut first)? {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::Object => {
                self.enter()?;
                let mut first = true;
                while self.next_key(&mut first)?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
        }
    }

    /// The text of the value that starts here, passed over.
    pub(crate) fn raw(&mut self) -> Result<&'a str, SyntaxError> {
        self.next_byte()?;
        let from = self.at;
        self.skip()?;
        Ok(std::str::from_utf8(&self.bytes[from..self.at]).unwrap_or_default())
    }

    /// The value that starts here, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Value, SyntaxError> {
        Ok(match self.peek()? {
            Kind::Null => self.null().map(|()| Value::Null)?,
            Kind::Bool => self.boolean()?.into(),
            Kind::Number => scalar::number_value(self.number()?),
            Kind::String => self.string()?.as_ref().into(),
            Kind::Array => self.any_array()?,
            Kind::Object => self.any_object()?,
        })
    }

    fn any_array(&mut self) -> Result<Value, SyntaxError> {
        self.enter()?;
        let (mut items, mut first) = (Vec::new(), true);
        while self.next_item(&mut first)? {
            items.push(self.any()?);
        }
        Ok(Value::Array(items))
    }

    fn any_object(&mut self) -> Result<Value, SyntaxError> {
        self.enter()?;
        let (mut fields, mut first) = (Vec::new(), true);
        while let Some(key) = self.next_key(&mut first)? {
            fields.push((Str::from(&*key), self.any()?));
        }
        Ok(Value::Object(Object::from_fields(fields)))
    }
}

/// Parses a whole text.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, SyntaxError> {
    let mut parser = Parser::new(bytes);
    let value = parser.any()?;
    parser.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests;
