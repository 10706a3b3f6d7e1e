//! Conversions between types, where nothing is lost silently but the fraction of a number.

use std::rc::Rc;

use crate::env::Row;
use crate::error::Error;
use crate::value::time::parse_duration;
use crate::value::{Time, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("bool", "bool_to_bool", "(bool) -> bool", to_bool),
    ("bool", "string_to_bool", "(string) -> bool", to_bool),
    ("bytes", "bytes_to_bytes", "(bytes) -> bytes", to_bytes),
    ("bytes", "string_to_bytes", "(string) -> bytes", to_bytes),
    ("double", "double_to_double", "(double) -> double", to_double),
    ("double", "int64_to_double", "(int) -> double", to_double),
    ("double", "string_to_double", "(string) -> double", to_double),
    ("double", "uint64_to_double", "(uint) -> double", to_double),
    ("duration", "duration_to_duration", "(duration) -> duration", to_duration),
    ("duration", "int64_to_duration", "(int) -> duration", to_duration),
    ("duration", "string_to_duration", "(string) -> duration", to_duration),
    ("int", "int64_to_int64", "(int) -> int", to_int),
    ("int", "double_to_int64", "(double) -> int", to_int),
    ("int", "duration_to_int64", "(duration) -> int", to_int),
    ("int", "string_to_int64", "(string) -> int", to_int),
    ("int", "timestamp_to_int64", "(timestamp) -> int", to_int),
    ("int", "uint64_to_int64", "(uint) -> int", to_int),
    ("string", "string_to_string", "(string) -> string", to_string),
    ("string", "bool_to_string", "(bool) -> string", to_string),
    ("string", "bytes_to_string", "(bytes) -> string", to_string),
    ("string", "double_to_string", "(double) -> string", to_string),
    ("string", "duration_to_string", "(duration) -> string", to_string),
    ("string", "int64_to_string", "(int) -> string", to_string),
    ("string", "timestamp_to_string", "(timestamp) -> string", to_string),
    ("string", "uint64_to_string", "(uint) -> string", to_string),
    ("timestamp", "timestamp_to_timestamp", "(timestamp) -> timestamp", to_timestamp),
    ("timestamp", "int64_to_timestamp", "(int) -> timestamp", to_timestamp),
    ("timestamp", "string_to_timestamp", "(string) -> timestamp", to_timestamp),
    ("uint", "uint64_to_uint64", "(uint) -> uint", to_uint),
    ("uint", "double_to_uint64", "(double) -> uint", to_uint),
    ("uint", "int64_to_uint64", "(int) -> uint", to_uint),
    ("uint", "string_to_uint64", "(string) -> uint", to_uint),
];

fn to_bool<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [truth @ Value::Bool(_)] => Ok(truth.clone()),
        [Value::String(text)] => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            other => Err(Error::other(format!("type conversion error from '{other}' to 'bool'"))),
        },
        _ => Err(Error::no_overload()),
    }
}

fn to_bytes<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [bytes @ Value::Bytes(_)] => Ok(bytes.clone()),
        [Value::String(text)] => Ok(Value::Bytes(Rc::from(text.as_bytes()))),
        _ => Err(Error::no_overload()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
fn to_double<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [double @ Value::Double(_)] => Ok(double.clone()),
        [Value::Int(number)] => Ok(Value::Double(*number as f64)),
        [Value::Uint(number)] => Ok(Value::Double(*number as f64)),
        [Value::String(text)] => text
            .parse()
            .map(Value::Double)
            .map_err(|_| Error::other(format!("strconv.ParseFloat: parsing {:?}: invalid syntax", &**text))),
        _ => Err(Error::no_overload()),
    }
}

fn to_duration<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [duration @ Value::Duration(_)] => Ok(duration.clone()),
        [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [Value::String(text)] => parse_duration(text).map(Value::Duration),
        _ => Err(Error::no_overload()),
    }
}

/// 2^63 and 2^64, which no 64 bit number reaches.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_64: f64 = 18_446_744_073_709_551_616.0;

#[expect(
    clippy::cast_possible_truncation,
    reason = "only numbers of the range are cast; fractions are cut off"
)]
fn to_int<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [int @ Value::Int(_)] => Ok(int.clone()),
        [Value::Double(number)] if *number > -TWO_63 && *number < TWO_63 => Ok(Value::Int(*number as i64)),
        [Value::Double(_)] => Err(Error::Overflow("integer")),
        [Value::Duration(nanos)] => Ok(Value::Int(*nanos)),
        [Value::Timestamp(time)] => Ok(Value::Int(time.seconds)),
        [Value::Uint(number)] => {
            i64::try_from(*number).map(Value::Int).map_err(|_| Error::Overflow("integer"))
        }
        [Value::String(text)] => {
            text.parse().map(Value::Int).map_err(|error| unparsable("ParseInt", text, &error))
        }
        _ => Err(Error::no_overload()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only numbers of the range are cast; fractions are cut off"
)]
fn to_uint<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let overflow = || Error::Overflow("unsigned integer");
    match args {
        [uint @ Value::Uint(_)] => Ok(uint.clone()),
        [Value::Double(number)] if *number >= 0.0 && *number < TWO_64 => Ok(Value::Uint(*number as u64)),
        [Value::Double(_)] => Err(overflow()),
        [Value::Int(number)] => u64::try_from(*number).map(Value::Uint).map_err(|_| overflow()),
        [Value::String(text)] => {
            text.parse().map(Value::Uint).map_err(|error| unparsable("ParseUint", text, &error))
        }
        _ => Err(Error::no_overload()),
    }
}

fn unparsable(function: &str, text: &str, error: &std::num::ParseIntError) -> Error {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let why = if matches!(error.kind(), PosOverflow | NegOverflow) {
        "value out of range"
    } else {
        "invalid syntax"
    };
    Error::other(format!("strconv.{function}: parsing {text:?}: {why}"))
}

fn to_timestamp<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [time @ Value::Timestamp(_)] => Ok(time.clone()),
        [Value::Int(seconds)] => Time::from_seconds(*seconds).map(Value::Timestamp),
        [Value::String(text)] => Time::parse(text).map(Value::Timestamp).ok_or_else(|| {
            let text = &**text;
            Error::other(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
            ))
        }),
        _ => Err(Error::no_overload()),
    }
}

fn to_string<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(match args {
        [text @ Value::String(_)] => text.clone(),
        [Value::Bytes(bytes)] => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Error::other("invalid UTF-8 in bytes, cannot convert to string"))?;
            Value::from(text.to_owned())
        }
        [value] => Value::from(shown(value).ok_or_else(Error::no_overload)?),
        _ => return Err(Error::no_overload()),
    })
}

/// A scalar as `string()` writes it.
pub(super) fn shown(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => float(*number),
        Value::String(text) => text.to_string(),
        Value::Timestamp(time) => time.to_string(),
        Value::Duration(nanos) => format!("{}s", seconds(*nanos)),
        _ => return None,
    })
}

/// Seconds with as many digits as are needed.
fn seconds(nanos: i64) -> String {
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let text = format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A float as Go's `%g` writes it: the shortest digits, with an exponent for very large and very small ones.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
