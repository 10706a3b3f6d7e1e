//! Lists as sets.

use crate::env::Row;
use crate::error::Error;
use crate::value::{List, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("sets.contains", "list_sets_contains_list", "(list(T), list(T)) -> bool", contains),
    ("sets.equivalent", "list_sets_equivalent_list", "(list(T), list(T)) -> bool", equivalent),
    ("sets.intersects", "list_sets_intersects_list", "(list(T), list(T)) -> bool", intersects),
];

fn includes(all: &List<'_>, part: &List<'_>) -> Result<bool> {
    for item in part.iter() {
        if !all.contains(&item?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(all), Value::List(part)] = args else { return Err(Error::no_overload()) };
    includes(all, part).map(Value::Bool)
}

fn equivalent<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(a), Value::List(b)] = args else { return Err(Error::no_overload()) };
    Ok(Value::Bool(includes(a, b)? && includes(b, a)?))
}

fn intersects<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(a), Value::List(b)] = args else { return Err(Error::no_overload()) };
    for item in a.iter() {
        if b.contains(&item?)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
