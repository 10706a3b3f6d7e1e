//! Finding parts of a text by a pattern.

use crate::env::Row;
use crate::error::Error;
use crate::regexes;
use crate::value::Value;

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("find", "string_find_string", "string.(string) -> string", find),
    ("findAll", "string_find_all_string", "string.(string) -> list(string)", find_all),
    ("findAll", "string_find_all_string_int", "string.(string, int) -> list(string)", find_all),
];

fn compiled(pattern: &str) -> Result<::regex::Regex> {
    regexes::compile(pattern).map_err(|_| {
        Error::other(format!("Illegal regex: error parsing regexp: invalid pattern: `{pattern}`"))
    })
}

fn find<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text), Value::String(pattern)] = args else { return Err(Error::no_overload()) };
    let found = compiled(pattern)?.find(text).map_or("", |found| found.as_str()).to_owned();
    Ok(Value::from(found))
}

fn find_all<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, pattern, limit) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(limit)] => (text, pattern, *limit),
        _ => return Err(Error::no_overload()),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let regex = compiled(pattern)?;
    let found = regex.find_iter(text).take(limit).map(|found| Value::from(found.as_str().to_owned()));
    Ok(Value::list(found.collect()))
}
