//! The language definition's functions of strings.

use crate::env::Row;
use crate::error::Error;
use crate::regexes;
use crate::value::Value;

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("contains", "contains_string", "string.(string) -> bool", contains),
    ("endsWith", "ends_with_string", "string.(string) -> bool", ends_with),
    ("startsWith", "starts_with_string", "string.(string) -> bool", starts_with),
    ("matches", "matches", "(string, string) -> bool", matches),
    ("matches", "matches_string", "string.(string) -> bool", matches),
];

fn both<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Result<Value<'a>> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(holds(text, part))),
        _ => Err(Error::no_overload()),
    }
}

fn contains<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    both(args, |text, part| text.contains(part))
}

fn ends_with<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    both(args, |text, part| text.ends_with(part))
}

fn starts_with<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    both(args, |text, part| text.starts_with(part))
}

fn matches<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text), Value::String(pattern)] => {
            Ok(Value::Bool(regexes::compile(pattern)?.is_match(text)))
        }
        _ => Err(Error::no_overload()),
    }
}
