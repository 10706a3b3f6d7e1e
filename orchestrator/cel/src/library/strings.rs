//! cel-go's extended strings, as far as Kubernetes has them; `reverse` is newer than that.

use super::quoting;
use crate::env::Row;
use crate::error::Error;
use crate::value::{Text, Value, check_text};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("charAt", "string_char_at_int", "string.(int) -> string", char_at),
    ("indexOf", "string_index_of_string", "string.(string) -> int", index_of),
    ("indexOf", "string_index_of_string_int", "string.(string, int) -> int", index_of),
    ("lastIndexOf", "string_last_index_of_string", "string.(string) -> int", last_index_of),
    ("lastIndexOf", "string_last_index_of_string_int", "string.(string, int) -> int", last_index_of),
    ("lowerAscii", "string_lower_ascii", "string.() -> string", lower_ascii),
    ("upperAscii", "string_upper_ascii", "string.() -> string", upper_ascii),
    ("replace", "string_replace_string_string", "string.(string, string) -> string", replace),
    ("replace", "string_replace_string_string_int", "string.(string, string, int) -> string", replace),
    ("split", "string_split_string", "string.(string) -> list(string)", split),
    ("split", "string_split_string_int", "string.(string, int) -> list(string)", split),
    ("substring", "string_substring_int", "string.(int) -> string", substring),
    ("substring", "string_substring_int_int", "string.(int, int) -> string", substring),
    ("trim", "string_trim", "string.() -> string", trim),
    ("join", "list_join", "list(string).() -> string", join),
    ("join", "list_join_string", "list(string).(string) -> string", join),
    ("strings.quote", "strings_quote", "(string) -> string", quote),
];

pub(super) const NEWER: &[Row] = &[("reverse", "string_reverse", "string.() -> string", reverse)];

fn out_of_range(index: i64) -> Error {
    Error::other(format!("index out of range: {index}"))
}

/// Where a character begins, or the end of the text.
fn place(text: &str, index: i64) -> Result<usize> {
    let at = usize::try_from(index).map_err(|_| out_of_range(index))?;
    let mut places = text.char_indices().map(|(place, _)| place).chain([text.len()]);
    places.nth(at).ok_or_else(|| out_of_range(index))
}

fn count(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn char_at<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text), Value::Int(index)] = args else { return Err(Error::no_overload()) };
    let char = text[place(text, *index)?..].chars().next();
    Ok(Value::from(char.map(String::from).unwrap_or_default()))
}

fn index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, part, offset) = match args {
        [Value::String(text), Value::String(part)] => (text, part, 0),
        [Value::String(text), Value::String(part), Value::Int(offset)] => (text, part, *offset),
        _ => return Err(Error::no_overload()),
    };
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    if offset == 0 && text.is_empty() && args.len() == 2 {
        return Ok(Value::Int(-1));
    }
    if offset < 0 || offset >= count(text) {
        return Err(out_of_range(offset));
    }
    let start = place(text, offset)?;
    let found = text[start..].find(&**part).map(|at| offset + count(&text[start..start + at]));
    Ok(Value::Int(found.unwrap_or(-1)))
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, part, offset) = match args {
        [Value::String(text), Value::String(part)] if part.is_empty() => return Ok(Value::Int(count(text))),
        [Value::String(text), Value::String(_)] if text.is_empty() => return Ok(Value::Int(-1)),
        [Value::String(text), Value::String(part)] => (text, part, count(text) - 1),
        [Value::String(text), Value::String(part), Value::Int(offset)] => (text, part, *offset),
        _ => return Err(Error::no_overload()),
    };
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    if offset < 0 || offset >= count(text) {
        return Err(out_of_range(offset));
    }
    // The last place that begins no later than the offset.
    let limit = (place(text, offset)? + part.len()).min(text.len());
    let limit = (limit..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let found =
        text[..limit].rmatch_indices(&**part).map(|(at, _)| count(&text[..at])).find(|at| *at <= offset);
    Ok(Value::Int(found.unwrap_or(-1)))
}

fn text_of<'v>(args: &'v [Value<'_>]) -> Result<&'v str> {
    args.first().and_then(Value::as_str).ok_or_else(Error::no_overload)
}

fn lower_ascii<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    text_of(args).map(|text| Value::from(text.to_ascii_lowercase()))
}

fn upper_ascii<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    text_of(args).map(|text| Value::from(text.to_ascii_uppercase()))
}

fn trim<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    text_of(args).map(|text| Value::from(text.trim().to_owned()))
}

fn reverse<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    text_of(args).map(|text| Value::from(text.chars().rev().collect::<String>()))
}

fn quote<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    text_of(args).map(|text| Value::from(quoting::quoted(text)))
}

fn replace<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, what, with, times) = match args {
        [Value::String(text), Value::String(what), Value::String(with)] => (text, what, with, -1),
        [Value::String(text), Value::String(what), Value::String(with), Value::Int(times)] => {
            (text, what, with, *times)
        }
        _ => return Err(Error::no_overload()),
    };
    let places = text.matches(&**what).take(usize::try_from(times).unwrap_or(usize::MAX)).count();
    check_text(text.len().saturating_add(places.saturating_mul(with.len())))?;
    let replaced = match usize::try_from(times) {
        Ok(times) => text.replacen(&**what, with, times),
        Err(_) => text.replace(&**what, with),
    };
    Ok(Value::from(replaced))
}

fn split<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (text, separator, limit) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(limit)] => (text, separator, *limit),
        _ => return Err(Error::no_overload()),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts: Vec<Value<'a>> = if separator.is_empty() {
        characters(text, limit).map(|part| part_of(text, part)).collect()
    } else if limit == 0 {
        Vec::new()
    } else {
        text.splitn(limit, &**separator).map(|part| part_of(text, part)).collect()
    };
    Ok(Value::list(parts))
}

/// A part of a text, borrowed from where the text is borrowed from.
fn part_of<'a>(text: &Text<'a>, part: &str) -> Value<'a> {
    match text {
        Text::Borrowed(whole) => {
            let start = part.as_ptr() as usize - whole.as_ptr() as usize;
            Value::from(&whole[start..start + part.len()])
        }
        Text::Shared(_) => Value::from(part.to_owned()),
    }
}

/// The characters of a text, the last of `limit` parts being the rest.
fn characters(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let mut parts = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() || parts == limit {
            return None;
        }
        parts += 1;
        let width = if parts == limit { rest.len() } else { rest.chars().next().map_or(0, char::len_utf8) };
        let (part, behind) = rest.split_at(width);
        rest = behind;
        Some(part)
    })
}

fn substring<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text), Value::Int(start)] => Ok(Value::from(text[place(text, *start)?..].to_owned())),
        [Value::String(_), Value::Int(start), Value::Int(end)] if start > end => {
            Err(Error::other(format!("invalid substring range. start: {start}, end: {end}")))
        }
        [Value::String(text), Value::Int(start), Value::Int(end)] => {
            Ok(Value::from(text[place(text, *start)?..place(text, *end)?].to_owned()))
        }
        _ => Err(Error::no_overload()),
    }
}

fn join<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return Err(Error::no_overload()),
    };
    let mut joined = String::new();
    for (at, item) in list.iter().enumerate() {
        let Value::String(text) = item? else { return Err(Error::no_overload()) };
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&text);
        check_text(joined.len())?;
    }
    Ok(Value::from(joined))
}
