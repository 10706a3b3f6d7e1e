//! Strings, numbers and literals of the JSON parser.

use std::borrow::Cow;

use super::{Parser, SyntaxError};
use crate::value::Value;

impl<'a> Parser<'a> {
    /// The byte at the position, which it leaves.
    fn take(&mut self) -> Result<u8, SyntaxError> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(SyntaxError::unexpected_end)?;
        self.at += 1;
        Ok(byte)
    }

    /// The string that starts here.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.at += 1;
        let from = self.at;
        loop {
            let byte = self.take()?;
            match byte {
                b'"' => return Ok(String::from_utf8_lossy(&self.bytes[from..self.at - 1])),
                b'\\' => {
                    self.at -= 1;
                    return self.escaped_string(from).map(Cow::Owned);
                }
                0..0x20 => return Err(SyntaxError::character(byte, "in string literal")),
                _ => {}
            }
        }
    }

    /// The rest of a string that has an escape here.
    fn escaped_string(&mut self, from: usize) -> Result<String, SyntaxError> {
        let mut out = self.bytes[from..self.at].to_vec();
        loop {
            let byte = self.take()?;
            match byte {
                b'"' => return Ok(String::from_utf8_lossy(&out).into_owned()),
                b'\\' => self.escape(&mut out)?,
                0..0x20 => return Err(SyntaxError::character(byte, "in string literal")),
                _ => out.push(byte),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let byte = match self.take()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.unicode_escape()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(SyntaxError::character(byte, "in string escape code")),
        };
        out.push(byte);
        Ok(())
    }

    /// The character of `\uXXXX`, which may take a second escape; half a surrogate pair is U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) || !self.bytes[self.at..].starts_with(b"\\u") {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        self.at += 2;
        let low = self.hex4()?;
        if !(0xdc00..0xe000).contains(&low) {
            self.at = before;
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.take()?;
            let digit = char::from(byte).to_digit(16);
            code = code * 16
                + digit.ok_or_else(|| SyntaxError::character(byte, "in \\u hexadecimal character escape"))?;
        }
        Ok(code)
    }

    /// The text of the number that starts here.
    pub(crate) fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let from = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.take()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            byte => return Err(SyntaxError::character(byte, "in numeric literal")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(std::str::from_utf8(&self.bytes[from..self.at]).unwrap_or_default())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &'static str) -> Result<(), SyntaxError> {
        match self.take()? {
            b'0'..=b'9' => self.digits(),
            byte => return Err(SyntaxError::character(byte, context)),
        }
        Ok(())
    }

    /// The `true` or `false` that starts here.
    pub(crate) fn boolean(&mut self) -> Result<bool, SyntaxError> {
        let truth = self.bytes.get(self.at) == Some(&b't');
        self.literal(if truth { TRUE } else { FALSE }).map(|()| truth)
    }

    /// The `null` that starts here.
    pub(crate) fn null(&mut self) -> Result<(), SyntaxError> {
        self.literal(NULL)
    }

    fn literal(&mut self, word: Literal) -> Result<(), SyntaxError> {
        for (expected, context) in word {
            let byte = self.take()?;
            if byte != *expected {
                return Err(SyntaxError::character(byte, context));
            }
        }
        Ok(())
    }
}

/// The bytes of a literal, each with what is said where it is missing.
type Literal = &'static [(u8, &'static str)];

const TRUE: Literal = &[
    (b't', ""),
    (b'r', "in literal true (expecting 'r')"),
    (b'u', "in literal true (expecting 'u')"),
    (b'e', "in literal true (expecting 'e')"),
];
const FALSE: Literal = &[
    (b'f', ""),
    (b'a', "in literal false (expecting 'a')"),
    (b'l', "in literal false (expecting 'l')"),
    (b's', "in literal false (expecting 's')"),
    (b'e', "in literal false (expecting 'e')"),
];
const NULL: Literal = &[
    (b'n', ""),
    (b'u', "in literal null (expecting 'u')"),
    (b'l', "in literal null (expecting 'l')"),
    (b'l', "in literal null (expecting 'l')"),
];

/// A number without a schema: whole where it is written so and fits, else the nearest finite float.
pub(super) fn number_value(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::Int(number);
    }
    let number = text.parse::<f64>().unwrap_or_default();
    Value::Float(if number.is_finite() { number } else { f64::MAX.copysign(number) })
}
