//! Kubernetes' functions of lists: sorted, sum, least, greatest, index.

use std::cmp::Ordering;

use super::arithmetic;
use crate::env::Row;
use crate::error::Error;
use crate::value::{List, Value, equal, order};

type Result<T> = std::result::Result<T, Error>;

macro_rules! comparable {
    ($of:literal) => {
        [
            (
                "isSorted",
                concat!("list_", $of, "_is_sorted_bool"),
                concat!("list(", $of, ").() -> bool"),
                is_sorted,
            ),
            ("max", concat!("list_", $of, "_max_", $of), concat!("list(", $of, ").() -> ", $of), max),
            ("min", concat!("list_", $of, "_min_", $of), concat!("list(", $of, ").() -> ", $of), min),
        ]
    };
}

const COMPARABLE: [[Row; 3]; 8] = [
    comparable!("int"),
    comparable!("uint"),
    comparable!("double"),
    comparable!("bool"),
    comparable!("duration"),
    comparable!("timestamp"),
    comparable!("string"),
    comparable!("bytes"),
];

const OTHERS: [Row; 6] = [
    ("sum", "list_int_sum_int", "list(int).() -> int", sum_ints),
    ("sum", "list_uint_sum_uint", "list(uint).() -> uint", sum_uints),
    ("sum", "list_double_sum_double", "list(double).() -> double", sum_doubles),
    ("sum", "list_duration_sum_duration", "list(duration).() -> duration", sum_durations),
    ("indexOf", "list_a_index_of_int", "list(A).(A) -> int", index_of),
    ("lastIndexOf", "list_a_last_index_of_int", "list(A).(A) -> int", last_index_of),
];

const fn joined() -> [Row; 30] {
    let mut rows = [OTHERS[0]; 30];
    let mut at = 0;
    while at < 24 {
        rows[at] = COMPARABLE[at / 3][at % 3];
        at += 1;
    }
    while at < 30 {
        rows[at] = OTHERS[at - 24];
        at += 1;
    }
    rows
}

pub(super) const ROWS: &[Row] = &joined();

fn list_of<'v, 'a>(args: &'v [Value<'a>]) -> Result<&'v List<'a>> {
    if let Some(Value::List(list)) = args.first() { Ok(list) } else { Err(Error::no_overload()) }
}

fn is_sorted<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let mut previous: Option<Value<'a>> = None;
    for item in list_of(args)?.iter() {
        let item = item?;
        if let Some(previous) = &previous
            && order(previous, &item)? == Some(Ordering::Greater)
        {
            return Ok(Value::Bool(false));
        }
        previous = Some(item);
    }
    Ok(Value::Bool(true))
}

/// The item before which no other comes.
fn extreme<'a>(args: &[Value<'a>], name: &str, before: Ordering) -> Result<Value<'a>> {
    let mut best: Option<Value<'a>> = None;
    for item in list_of(args)?.iter() {
        let item = item?;
        let better = match &best {
            Some(best) => order(&item, best)? == Some(before),
            None => true,
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| Error::other(format!("{name} called on empty list")))
}

fn max<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    extreme(args, "max", Ordering::Greater)
}

fn min<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    extreme(args, "min", Ordering::Less)
}

fn sum<'a>(args: &[Value<'a>], zero: Value<'a>) -> Result<Value<'a>> {
    list_of(args)?.iter().try_fold(zero, |sum, item| arithmetic::add(&[sum, item?]))
}

fn sum_ints<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    sum(args, Value::Int(0))
}

fn sum_uints<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    sum(args, Value::Uint(0))
}

fn sum_doubles<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    sum(args, Value::Double(0.0))
}

fn sum_durations<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    sum(args, Value::Duration(0))
}

fn position<'a>(args: &[Value<'a>], mut places: impl Iterator<Item = usize>) -> Result<Value<'a>> {
    let (list, wanted) = (list_of(args)?, args.get(1).ok_or_else(Error::no_overload)?);
    let same = |at: &usize| {
        list.get(*at).is_some_and(|item| item.is_ok_and(|item| equal(&item, wanted) == Ok(true)))
    };
    let found = places.find(|at| same(at));
    Ok(Value::Int(found.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX))))
}

fn index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    position(args, 0..list_of(args)?.len())
}

fn last_index_of<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    position(args, (0..list_of(args)?.len()).rev())
}
