//! cel-go's extended lists: slices, flattening, sorting, ranges.

use std::cmp::Ordering;

use crate::env::Row;
use crate::error::Error;
use crate::value::{List, Value, check_len, equal, order};

type Result<T> = std::result::Result<T, Error>;

macro_rules! sortable {
    ($of:literal, $name:literal) => {
        [
            (
                "sort",
                concat!("list_", $name, "_sort"),
                concat!("list(", $of, ").() -> list(", $of, ")"),
                sort,
            ),
            (
                "@sortByAssociatedKeys",
                concat!("list_", $name, "_sortByAssociatedKeys"),
                concat!("list(T).(list(", $of, ")) -> list(T)"),
                sort_by_keys,
            ),
        ]
    };
}

const SORTABLE: [[Row; 2]; 8] = [
    sortable!("int", "int"),
    sortable!("uint", "uint"),
    sortable!("double", "double"),
    sortable!("bool", "bool"),
    sortable!("duration", "google.protobuf.Duration"),
    sortable!("timestamp", "google.protobuf.Timestamp"),
    sortable!("string", "string"),
    sortable!("bytes", "bytes"),
];

const OTHERS: [Row; 6] = [
    ("slice", "list_slice", "list(T).(int, int) -> list(T)", slice),
    ("flatten", "list_flatten", "list(list(T)).() -> list(T)", flatten),
    ("flatten", "list_flatten_int", "list(dyn).(int) -> list(dyn)", flatten),
    ("lists.range", "lists_range", "(int) -> list(int)", range),
    ("reverse", "list_reverse", "list(T).() -> list(T)", reverse),
    ("distinct", "list_distinct", "list(T).() -> list(T)", distinct),
];

const fn joined() -> [Row; 22] {
    let mut rows = [OTHERS[0]; 22];
    let mut at = 0;
    while at < 16 {
        rows[at] = SORTABLE[at / 2][at % 2];
        at += 1;
    }
    while at < 22 {
        rows[at] = OTHERS[at - 16];
        at += 1;
    }
    rows
}

pub(super) const ROWS: &[Row] = &joined();

/// Lists made by `lists.range` are no longer than what an evaluation can pay for.
const MAX_RANGE: i64 = 1_000_000;

fn slice<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else {
        return Err(Error::no_overload());
    };
    let wrong = |why: &str| Error::other(format!("cannot slice({start}, {end}), {why}"));
    let (Ok(from), Ok(to)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return Err(wrong("negative indexes not supported"));
    };
    if from > to {
        return Err(wrong("start index must be less than or equal to end index"));
    }
    if to > list.len() {
        return Err(wrong(&format!("list is length {}", list.len())));
    }
    let items = (from..to).filter_map(|at| list.get(at)).collect::<Result<Vec<_>>>()?;
    Ok(Value::list(items))
}

fn flatten<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return Err(Error::no_overload()),
    };
    if depth < 0 {
        return Err(Error::other("level must be non-negative"));
    }
    let mut items = Vec::new();
    flatten_into(list, depth, &mut items)?;
    Ok(Value::list(items))
}

fn flatten_into<'a>(list: &List<'a>, depth: i64, items: &mut Vec<Value<'a>>) -> Result<()> {
    for item in list.iter() {
        match item? {
            Value::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, items)?,
            other => items.push(other),
        }
        check_len(items.len())?;
    }
    Ok(())
}

fn range<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::Int(count)] = args else { return Err(Error::no_overload()) };
    if *count < 0 {
        return Err(Error::other(format!("lists.range: size must be non-negative, got {count}")));
    }
    if *count > MAX_RANGE {
        return Err(Error::other(format!("lists.range: size {count} exceeds maximum allowed ({MAX_RANGE})")));
    }
    Ok(Value::list((0..*count).map(Value::Int).collect()))
}

fn reverse<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else { return Err(Error::no_overload()) };
    let mut items = list.to_vec()?;
    items.reverse();
    Ok(Value::list(items))
}

fn distinct<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else { return Err(Error::no_overload()) };
    let mut items: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        let item = item?;
        if !items.iter().any(|seen| equal(seen, &item) == Ok(true)) {
            items.push(item);
        }
    }
    Ok(Value::list(items))
}

fn sort<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list)] = args else { return Err(Error::no_overload()) };
    sorted(list.to_vec()?, list.to_vec()?)
}

fn sort_by_keys<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::List(list), Value::List(keys)] = args else { return Err(Error::no_overload()) };
    sorted(list.to_vec()?, keys.to_vec()?)
}

/// The items in the order of their keys.
fn sorted<'a>(items: Vec<Value<'a>>, keys: Vec<Value<'a>>) -> Result<Value<'a>> {
    let Some(first) = keys.first() else { return Ok(Value::list(items)) };
    if items.len() != keys.len() {
        return Err(Error::no_overload());
    }
    let of = first.type_of();
    if keys.iter().any(|key| key.type_of() != of) {
        return Err(Error::other("list elements must have the same type"));
    }
    let mut pairs: Vec<_> = keys.into_iter().zip(items).collect();
    let mut comparable = true;
    pairs.sort_by(|a, b| match (&a.0, &b.0) {
        // What is not a number has a place, too, or the order would not be one.
        (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
        (a, b) => order(a, b).ok().flatten().unwrap_or_else(|| {
            comparable = false;
            Ordering::Equal
        }),
    });
    if !comparable {
        return Err(Error::other("list elements must be comparable"));
    }
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}
