//! What is wrong with a JSON text, in the words of Go's `encoding/json`.

use std::fmt;

/// A text that is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    End,
    Depth,
    Character(u8, &'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("unexpected end of JSON input"),
            Self::Depth => f.write_str("exceeded max depth"),
            Self::Character(byte, context) => write!(f, "invalid character {} {context}", describe(*byte)),
        }
    }
}

impl SyntaxError {
    pub(super) fn unexpected_end() -> Self {
        Self(Problem::End)
    }

    pub(super) fn too_deep() -> Self {
        Self(Problem::Depth)
    }

    pub(super) fn character(byte: u8, context: &'static str) -> Self {
        Self(Problem::Character(byte, context))
    }
}

/// A byte in single quotes, as Go quotes it.
pub(super) fn describe(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        0x20..=0x7e | 0xa1..=0xac | 0xae..=0xff => format!("'{}'", char::from(byte)),
        0..0x80 => format!("'\\x{byte:02x}'"),
        _ => format!("'\\u{byte:04x}'"),
    }
}
