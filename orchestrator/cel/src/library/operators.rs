//! Logic, equality, order, membership, indices, sizes and types.

use std::cmp::Ordering;

use crate::env::Row;
use crate::error::Error;
use crate::value::{Value, equal, order};

type Result<T> = std::result::Result<T, Error>;

macro_rules! ordered {
    ($operator:literal, $name:literal, $call:path) => {
        [
            ($operator, concat!($name, "_bool"), "(bool, bool) -> bool", $call),
            ($operator, concat!($name, "_int64"), "(int, int) -> bool", $call),
            ($operator, concat!($name, "_int64_double"), "(int, double) -> bool", $call),
            ($operator, concat!($name, "_int64_uint64"), "(int, uint) -> bool", $call),
            ($operator, concat!($name, "_uint64"), "(uint, uint) -> bool", $call),
            ($operator, concat!($name, "_uint64_double"), "(uint, double) -> bool", $call),
            ($operator, concat!($name, "_uint64_int64"), "(uint, int) -> bool", $call),
            ($operator, concat!($name, "_double"), "(double, double) -> bool", $call),
            ($operator, concat!($name, "_double_int64"), "(double, int) -> bool", $call),
            ($operator, concat!($name, "_double_uint64"), "(double, uint) -> bool", $call),
            ($operator, concat!($name, "_string"), "(string, string) -> bool", $call),
            ($operator, concat!($name, "_bytes"), "(bytes, bytes) -> bool", $call),
            ($operator, concat!($name, "_timestamp"), "(timestamp, timestamp) -> bool", $call),
            ($operator, concat!($name, "_duration"), "(duration, duration) -> bool", $call),
        ]
    };
}

const ORDERED: [[Row; 14]; 4] = [
    ordered!("_<_", "less", less),
    ordered!("_<=_", "less_equals", less_equals),
    ordered!("_>_", "greater", greater),
    ordered!("_>=_", "greater_equals", greater_equals),
];

const OTHERS: [Row; 25] = [
    ("_?_:_", "conditional", "(bool, A, A) -> A", elsewhere),
    ("_&&_", "logical_and", "(bool, bool) -> bool", elsewhere),
    ("_||_", "logical_or", "(bool, bool) -> bool", elsewhere),
    ("!_", "logical_not", "(bool) -> bool", not),
    ("@not_strictly_false", "not_strictly_false", "(bool) -> bool", elsewhere),
    ("_==_", "equals", "(A, A) -> bool", equals),
    ("_!=_", "not_equals", "(A, A) -> bool", not_equals),
    ("@in", "in_list", "(A, list(A)) -> bool", contains),
    ("@in", "in_map", "(A, map(A, B)) -> bool", contains),
    ("_[_]", "index_list", "(list(A), int) -> A", elsewhere),
    ("_[_]", "index_map", "(map(A, B), A) -> B", elsewhere),
    ("_[_]", "optional_list_index_int", "(optional_type(list(V)), int) -> optional_type(V)", elsewhere),
    ("_[_]", "optional_map_index_value", "(optional_type(map(K, V)), K) -> optional_type(V)", elsewhere),
    ("_[?_]", "list_optindex_optional_int", "(list(V), int) -> optional_type(V)", elsewhere),
    (
        "_[?_]",
        "optional_list_optindex_optional_int",
        "(optional_type(list(V)), int) -> optional_type(V)",
        elsewhere,
    ),
    ("_[?_]", "map_optindex_optional_value", "(map(K, V), K) -> optional_type(V)", elsewhere),
    (
        "_[?_]",
        "optional_map_optindex_optional_value",
        "(optional_type(map(K, V)), K) -> optional_type(V)",
        elsewhere,
    ),
    ("size", "size_string", "(string) -> int", size),
    ("size", "size_bytes", "(bytes) -> int", size),
    ("size", "size_list", "(list(A)) -> int", size),
    ("size", "size_map", "(map(A, B)) -> int", size),
    ("size", "string_size", "string.() -> int", size),
    ("size", "bytes_size", "bytes.() -> int", size),
    ("size", "list_size", "list(A).() -> int", size),
    ("size", "map_size", "map(A, B).() -> int", size),
];

const TYPES: [Row; 2] =
    [("type", "type", "(A) -> type(A)", type_of), ("dyn", "to_dyn", "(A) -> dyn", identity)];

/// The rows of these libraries behind one another.
const fn joined() -> [Row; 4 * 14 + 25 + 2] {
    let mut rows = [TYPES[0]; 4 * 14 + 25 + 2];
    let mut at = 0;
    while at < 4 * 14 {
        rows[at] = ORDERED[at / 14][at % 14];
        at += 1;
    }
    while at < 4 * 14 + 25 {
        rows[at] = OTHERS[at - 4 * 14];
        at += 1;
    }
    rows[at] = TYPES[0];
    rows[at + 1] = TYPES[1];
    rows
}

pub(super) const ROWS: &[Row] = &joined();

/// What the evaluator does itself, because it does not need all its arguments.
fn elsewhere<'a>(_: &[Value<'a>]) -> Result<Value<'a>> {
    Err(Error::no_overload())
}

fn not<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::Bool(truth)] = args else { return Err(Error::no_overload()) };
    Ok(Value::Bool(!truth))
}

fn equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    equal(&args[0], &args[1]).map(Value::Bool)
}

fn not_equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    equal(&args[0], &args[1]).map(|same| Value::Bool(!same))
}

fn compared<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Result<Value<'a>> {
    let order = order(&args[0], &args[1])?;
    order.map(|order| Value::Bool(holds(order))).ok_or_else(|| Error::other("NaN values cannot be ordered"))
}

fn less<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args, Ordering::is_lt)
}

fn less_equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args, Ordering::is_le)
}

fn greater<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args, Ordering::is_gt)
}

fn greater_equals<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args, Ordering::is_ge)
}

fn contains<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [wanted, Value::List(list)] => list.contains(wanted).map(Value::Bool),
        [wanted, Value::Map(map)] => Ok(Value::Bool(map.has(wanted))),
        _ => Err(Error::no_overload()),
    }
}

fn size<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match &args[0] {
        sized @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_)) => {
            Ok(Value::Int(i64::try_from(sized.size()).unwrap_or(i64::MAX)))
        }
        _ => Err(Error::no_overload()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the type of all implementations")]
fn type_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::Type(args[0].type_of()))
}

#[expect(clippy::unnecessary_wraps, reason = "the type of all implementations")]
fn identity<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(args[0].clone())
}
