//! Values that may be missing.

use crate::env::Row;
use crate::error::Error;
use crate::value::Value;

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("optional.of", "optional_of", "(V) -> optional_type(V)", of),
    ("optional.ofNonZeroValue", "optional_ofNonZeroValue", "(V) -> optional_type(V)", of_non_zero),
    ("optional.none", "optional_none", "() -> optional_type(V)", none),
    ("optional.unwrap", "optional_unwrap", "(list(optional_type(V))) -> list(V)", unwrap),
    ("unwrapOpt", "optional_unwrapOpt", "list(optional_type(V)).() -> list(V)", unwrap),
    ("hasValue", "optional_hasValue", "optional_type(V).() -> bool", has_value),
    ("value", "optional_value", "optional_type(V).() -> V", value),
    ("or", "optional_or_optional", "optional_type(V).(optional_type(V)) -> optional_type(V)", or),
    ("orValue", "optional_orValue_value", "optional_type(V).(V) -> V", or_value),
    ("first", "list_first", "list(V).() -> optional_type(V)", first),
    ("last", "list_last", "list(V).() -> optional_type(V)", last),
];

fn of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [value] = args else { return Err(Error::no_overload()) };
    Ok(Value::some(value.clone()))
}

fn of_non_zero<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [value] = args else { return Err(Error::no_overload()) };
    Ok(if is_zero(value) { Value::Optional(None) } else { Value::some(value.clone()) })
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(truth) => !truth,
        Value::Int(number) | Value::Duration(number) => *number == 0,
        Value::Uint(number) => *number == 0,
        Value::Double(number) => *number == 0.0,
        Value::Timestamp(time) => time.to_string() == "0001-01-01T00:00:00Z",
        Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => value.size() == 0,
        Value::Message(message) => message.fields.is_empty(),
        Value::Optional(Some(inner)) => is_zero(inner),
        Value::Type(_) | Value::Opaque(_) => false,
    }
}

fn none<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    if args.is_empty() { Ok(Value::Optional(None)) } else { Err(Error::no_overload()) }
}

fn unwrap<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else { return Err(Error::no_overload()) };
    let mut values = Vec::new();
    for item in list.iter() {
        let Value::Optional(item) = item? else { return Err(Error::no_overload()) };
        values.extend(item.map(|item| (*item).clone()));
    }
    Ok(Value::list(values))
}

fn has_value<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::Optional(inner)] = args else { return Err(Error::no_overload()) };
    Ok(Value::Bool(inner.is_some()))
}

fn value<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Optional(Some(inner))] => Ok((**inner).clone()),
        [Value::Optional(None)] => Err(Error::other("optional.none() dereference")),
        _ => Err(Error::no_overload()),
    }
}

fn or<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [some @ Value::Optional(Some(_)), Value::Optional(_)] => Ok(some.clone()),
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
        _ => Err(Error::no_overload()),
    }
}

fn or_value<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Optional(Some(inner)), _] => Ok((**inner).clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => Err(Error::no_overload()),
    }
}

fn at<'a>(args: &[Value<'a>], place: fn(usize) -> Option<usize>) -> Result<Value<'a>> {
    let [Value::List(list)] = args else { return Err(Error::no_overload()) };
    match place(list.len()).and_then(|place| list.get(place)) {
        Some(item) => item.map(Value::some),
        None => Ok(Value::Optional(None)),
    }
}

fn first<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    at(args, |_| Some(0))
}

fn last<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    at(args, |len| len.checked_sub(1))
}
