//! `+ - * / %` and negation: of numbers without silent overflow, of times and spans, and `+` of strings, bytes and
//! lists.

use std::rc::Rc;

use crate::env::Row;
use crate::error::Error;
use crate::value::{Value, check_text};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("_+_", "add_int64", "(int, int) -> int", add),
    ("_+_", "add_uint64", "(uint, uint) -> uint", add),
    ("_+_", "add_double", "(double, double) -> double", add),
    ("_+_", "add_string", "(string, string) -> string", add),
    ("_+_", "add_bytes", "(bytes, bytes) -> bytes", add),
    ("_+_", "add_list", "(list(A), list(A)) -> list(A)", add),
    ("_+_", "add_timestamp_duration", "(timestamp, duration) -> timestamp", add),
    ("_+_", "add_duration_timestamp", "(duration, timestamp) -> timestamp", add),
    ("_+_", "add_duration_duration", "(duration, duration) -> duration", add),
    ("_-_", "subtract_int64", "(int, int) -> int", subtract),
    ("_-_", "subtract_uint64", "(uint, uint) -> uint", subtract),
    ("_-_", "subtract_double", "(double, double) -> double", subtract),
    ("_-_", "subtract_timestamp_timestamp", "(timestamp, timestamp) -> duration", subtract),
    ("_-_", "subtract_timestamp_duration", "(timestamp, duration) -> timestamp", subtract),
    ("_-_", "subtract_duration_duration", "(duration, duration) -> duration", subtract),
    ("_*_", "multiply_int64", "(int, int) -> int", multiply),
    ("_*_", "multiply_uint64", "(uint, uint) -> uint", multiply),
    ("_*_", "multiply_double", "(double, double) -> double", multiply),
    ("_/_", "divide_int64", "(int, int) -> int", divide),
    ("_/_", "divide_uint64", "(uint, uint) -> uint", divide),
    ("_/_", "divide_double", "(double, double) -> double", divide),
    ("_%_", "modulo_int64", "(int, int) -> int", modulo),
    ("_%_", "modulo_uint64", "(uint, uint) -> uint", modulo),
    ("-_", "negate_int64", "(int) -> int", negate),
    ("-_", "negate_double", "(double) -> double", negate),
];

const INT: Error = Error::Overflow("integer");
const UINT: Error = Error::Overflow("unsigned integer");
const DURATION: Error = Error::Overflow("duration");

fn int<'a>(number: Option<i64>) -> Result<Value<'a>> {
    number.map(Value::Int).ok_or(INT)
}

fn uint<'a>(number: Option<u64>) -> Result<Value<'a>> {
    number.map(Value::Uint).ok_or(UINT)
}

fn duration<'a>(nanos: Option<i64>) -> Result<Value<'a>> {
    nanos.map(Value::Duration).ok_or(DURATION)
}

pub(super) fn add<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_add(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_add(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::String(a), Value::String(b)] => {
            check_text(a.len().saturating_add(b.len()))?;
            Ok(Value::from([&**a, &**b].concat()))
        }
        [Value::Bytes(a), Value::Bytes(b)] => {
            check_text(a.len().saturating_add(b.len()))?;
            Ok(Value::Bytes(Rc::from([&**a, &**b].concat())))
        }
        [Value::List(a), Value::List(b)] => a.clone().join(b.clone()).map(Value::List),
        [Value::Timestamp(time), Value::Duration(span)] | [Value::Duration(span), Value::Timestamp(time)] => {
            time.plus((*span).into()).map(Value::Timestamp)
        }
        [Value::Duration(a), Value::Duration(b)] => duration(a.checked_add(*b)),
        _ => Err(Error::no_overload()),
    }
}

fn subtract<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_sub(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_sub(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Timestamp(a), Value::Timestamp(b)] => a.since(*b).map(Value::Duration),
        [Value::Timestamp(time), Value::Duration(span)] => {
            time.plus(-i128::from(*span)).map(Value::Timestamp)
        }
        [Value::Duration(a), Value::Duration(b)] => duration(a.checked_sub(*b)),
        _ => Err(Error::no_overload()),
    }
}

fn multiply<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_mul(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_mul(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(Error::no_overload()),
    }
}

fn divide<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::DivisionByZero),
        [Value::Int(a), Value::Int(b)] => int(a.checked_div(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_div(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(Error::no_overload()),
    }
}

fn modulo<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::ModulusByZero),
        [Value::Int(a), Value::Int(b)] => int(a.checked_rem(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_rem(*b)),
        _ => Err(Error::no_overload()),
    }
}

fn negate<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Int(number)] => int(number.checked_neg()),
        [Value::Double(number)] => Ok(Value::Double(-number)),
        _ => Err(Error::no_overload()),
    }
}
