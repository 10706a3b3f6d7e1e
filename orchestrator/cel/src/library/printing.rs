//! `'...'.format([...])`: clauses that put values into a text.

use super::conversions::{float, shown};
use super::quoting::go_quoted;
use crate::env::Row;
use crate::error::Error;
use crate::value::{List, Value, check_text};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[("format", "string_format", "string.(list(dyn)) -> string", format)];

/// Digits behind the point where none are asked for.
const PRECISION: usize = 6;
/// More digits than that are refused.
const MAX_PRECISION: usize = 1000;

fn format<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text), Value::List(list)] = args else { return Err(Error::no_overload()) };
    let (mut out, mut rest, mut used) = (String::new(), &**text, 0);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let (precision, behind) = precision(rest)?;
        let clause = behind.chars().next().ok_or_else(|| Error::other("unexpected end of string"))?;
        let value = argument(list, used)?;
        used += 1;
        out.push_str(&apply(clause, precision, &value)?);
        check_text(out.len())?;
        rest = &behind[clause.len_utf8()..];
    }
    out.push_str(rest);
    if used < list.len() {
        return Err(Error::other(format!(
            "too many arguments supplied to string.format (expected {used}, got {})",
            list.len()
        )));
    }
    Ok(Value::from(out))
}

fn argument<'a>(list: &List<'a>, at: usize) -> Result<Value<'a>> {
    list.get(at).unwrap_or_else(|| Err(Error::other(format!("index {at} out of range"))))
}

fn precision(rest: &str) -> Result<(usize, &str)> {
    let Some(behind) = rest.strip_prefix('.') else { return Ok((PRECISION, rest)) };
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    let wrong = || Error::other("error while converting precision to integer");
    let number: usize = behind[..digits].parse().map_err(|_| wrong())?;
    if number > MAX_PRECISION {
        return Err(Error::other(format!(
            "precision {number} exceeds maximum allowed precision {MAX_PRECISION}"
        )));
    }
    Ok((number, &behind[digits..]))
}

fn apply(clause: char, precision: usize, value: &Value<'_>) -> Result<String> {
    match clause {
        's' => string(value),
        'd' => decimal(value),
        'f' => Ok(number(value, "fixed-point").map(|number| fixed(number, precision))?),
        'e' => Ok(number(value, "scientific").map(|number| scientific(number, precision))?),
        'b' => match value {
            Value::Int(number) if *number < 0 => Ok(format!("-{:b}", number.unsigned_abs())),
            Value::Int(number) => Ok(format!("{number:b}")),
            Value::Uint(number) => Ok(format!("{number:b}")),
            Value::Bool(truth) => Ok(u8::from(*truth).to_string()),
            other => Err(given("only integers and bools can be formatted as binary", other)),
        },
        'o' => match value {
            Value::Int(number) if *number < 0 => Ok(format!("-{:o}", number.unsigned_abs())),
            Value::Int(number) => Ok(format!("{number:o}")),
            Value::Uint(number) => Ok(format!("{number:o}")),
            other => Err(given("octal clause can only be used on integers", other)),
        },
        'x' => hexadecimal(value),
        'X' => hexadecimal(value).map(|text| text.to_ascii_uppercase()),
        other => Err(Error::other(format!(
            "could not parse formatting clause: unrecognized formatting clause \"{other}\""
        ))),
    }
}

fn given(what: &str, value: &Value<'_>) -> Error {
    Error::other(format!("{what}, was given {}", value.type_of().runtime_name()))
}

fn decimal(value: &Value<'_>) -> Result<String> {
    match value {
        Value::Int(number) => Ok(number.to_string()),
        Value::Uint(number) => Ok(number.to_string()),
        other => Err(given("decimal clause can only be used on integers", other)),
    }
}

fn number(value: &Value<'_>, clause: &str) -> Result<f64> {
    match value {
        Value::Double(number) => Ok(*number),
        Value::String(text) => match &**text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(given(&format!("{clause} clause can only be used on doubles"), value)),
        },
        other => Err(given(&format!("{clause} clause can only be used on doubles"), other)),
    }
}

/// Digits in groups of three, as the locale en_US writes them.
fn fixed(number: f64, precision: usize) -> String {
    if let Some(text) = unusual(number) {
        return text;
    }
    let text = format!("{:.precision$}", number.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::from(if number.is_sign_negative() { "-" } else { "" });
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if precision > 0 {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn unusual(number: f64) -> Option<String> {
    if number.is_nan() {
        return Some("NaN".to_owned());
    }
    let sign = if number < 0.0 { "-" } else { "" };
    number.is_infinite().then(|| format!("{sign}\u{221e}"))
}

fn scientific(number: f64, precision: usize) -> String {
    if let Some(text) = unusual(number) {
        return text;
    }
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}\u{202f}\u{00d7}\u{202f}10{}", superscript(sign, exponent))
}

/// An exponent as the locale en_US writes it: raised, with at least two digits.
fn superscript(sign: char, exponent: &str) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let padded = format!("{exponent:0>2}");
    let digits = padded.bytes().map(|digit| RAISED[usize::from(digit - b'0') % 10]);
    let sign = if sign == '-' { "⁻" } else { "" };
    format!("{sign}{}", digits.collect::<String>())
}

fn hexadecimal(value: &Value<'_>) -> Result<String> {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    let bytes = |bytes: &[u8]| bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    match value {
        Value::String(text) => Ok(bytes(text.as_bytes())),
        Value::Bytes(raw) => Ok(bytes(raw)),
        Value::Int(number) if *number < 0 => Ok(format!("-{:x}", number.unsigned_abs())),
        Value::Int(number) => Ok(format!("{number:x}")),
        Value::Uint(number) => Ok(format!("{number:x}")),
        other => Err(given("only integers, byte buffers, and strings can be formatted as hex", other)),
    }
}

const NO_STRING: &str = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";

fn string(value: &Value<'_>) -> Result<String> {
    match value {
        Value::Null => Ok("null".to_owned()),
        Value::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Value::Type(of) => Ok(of.runtime_name().to_owned()),
        Value::List(list) => {
            let items = list.iter().map(|item| inside(&item?)).collect::<Result<Vec<_>>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        Value::Map(map) => {
            let pair = |(key, value): (Value<'_>, Result<Value<'_>>)| {
                Ok(format!("{}:{}", inside(&key)?, inside(&value?)?))
            };
            let mut pairs = map.iter().map(pair).collect::<Result<Vec<_>>>()?;
            pairs.sort();
            Ok(format!("{{{}}}", pairs.join(", ")))
        }
        other => shown(other).ok_or_else(|| given(NO_STRING, other)),
    }
}

/// A value inside a list or a map, as the language writes it.
fn inside(value: &Value<'_>) -> Result<String> {
    Ok(match value {
        Value::String(text) => go_quoted(text),
        Value::Bytes(bytes) => format!("b{}", go_quoted(&String::from_utf8_lossy(bytes))),
        Value::Timestamp(_) => format!("timestamp({})", go_quoted(&string(value)?)),
        Value::Duration(_) => format!("duration({})", go_quoted(&string(value)?)),
        Value::Double(number) if number.is_finite() => format!("{number:.PRECISION$}"),
        Value::Double(number) => format!("{:?}", float(*number)),
        other => string(other)?,
    })
}
