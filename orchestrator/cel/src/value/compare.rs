//! Equality of any two values, and the order of those that have one.

use std::cmp::Ordering;

use super::list::same_keys;
use super::{List, ListKind, Map, Value};
use crate::error::Error;

/// Whether two values are equal. Values of different types are not, except numbers.
pub fn equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, Error> {
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a.runtime_name() == b.runtime_name(),
        (Value::List(a), Value::List(b)) => return equal_lists(a, b),
        (Value::Map(a), Value::Map(b)) => return equal_maps(a, b),
        (Value::Message(a), Value::Message(b)) => {
            if a.name != b.name || a.fields.len() != b.fields.len() {
                return Ok(false);
            }
            return all(a.fields.iter(), |(name, value)| {
                b.fields.get(name).map_or(Ok(false), |other| equal(value, other))
            });
        }
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => return equal(a, b),
            _ => false,
        },
        (Value::Opaque(a), Value::Opaque(b)) => a.equals(&**b),
        _ => numbers(a, b).is_ok_and(|order| order == Some(Ordering::Equal)),
    })
}

fn all<T>(
    items: impl Iterator<Item = T>,
    mut holds: impl FnMut(T) -> Result<bool, Error>,
) -> Result<bool, Error> {
    for item in items {
        if !holds(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_lists(a: &List<'_>, b: &List<'_>) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.kind() {
        ListKind::Atomic => all(a.iter().zip(b.iter()), |(a, b)| equal(&a?, &b?)),
        ListKind::Set => all(a.iter(), |item| b.contains(&item?)),
        ListKind::Map(keys) => all(a.iter(), |item| {
            let item = item?;
            for other in b.iter() {
                let other = other?;
                if same_keys(keys, &item, &other)? {
                    return equal(&item, &other);
                }
            }
            Ok(false)
        }),
    }
}

fn equal_maps(a: &Map<'_>, b: &Map<'_>) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    all(a.iter(), |(key, value)| match b.get(&key) {
        Some(other) => equal(&value?, &other?),
        None => Ok(false),
    })
}

/// The order of two numbers, which those that are not a number do not have.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, Error> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Double(a), Value::Int(b)) => with_whole(*a, i128::from(*b)),
        (Value::Double(a), Value::Uint(b)) => with_whole(*a, i128::from(*b)),
        (Value::Int(a), Value::Double(b)) => with_whole(*b, i128::from(*a)).map(Ordering::reverse),
        (Value::Uint(a), Value::Double(b)) => with_whole(*b, i128::from(*a)).map(Ordering::reverse),
        _ => return Err(Error::no_overload()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "as upstream, floats compare with the nearest float")]
fn with_whole(float: f64, whole: i128) -> Option<Ordering> {
    float.partial_cmp(&(whole as f64))
}

/// The order of two values that have one; `Ok(None)` if one is no number.
pub(crate) fn order(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, Error> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => return numbers(a, b),
    })
}
