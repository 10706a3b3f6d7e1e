//! What a call costs that was made, by the function and by the overload.

use super::{CHECK, LIST, PATTERN, Range, TRAVERSAL};
use crate::library::format::Format;
use crate::value::{List, Value};

/// Computes what a call cost from its arguments and its result.
pub(crate) type Price = fn(&[Value<'_>], &Value<'_>) -> u64;

/// The price of a function; the overload is empty if it is known only at run time.
pub(crate) fn price(function: &str, overload: &str) -> Price {
    by_function(function, overload).unwrap_or_else(|| by_overload(overload))
}

fn by_function(function: &str, overload: &str) -> Option<Price> {
    Some(match function {
        "check" => |_, _| CHECK,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => |args, _| traversal(&args[0]),
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
        | "jsonpatch.escapeKey" => |args, _| scaled(size(args, 0), TRAVERSAL),
        "ip" if overload == "cidr_ip" => |_, _| 1,
        "ip" => |args, _| scaled(size(args, 0), TRAVERSAL),
        "replace" | "split" | "ip.isCanonical" => |args, _| scaled(size(args, 0), 2.0 * TRAVERSAL),
        "join" => |_, result| scaled(result.size(), 2.0 * TRAVERSAL),
        "fieldSelector" | "labelSelector" => |args, _| super::call::selector(Range::fixed(size(args, 1))).max,
        "find" | "findAll" => pattern,
        "containsIP" | "containsCIDR" => return Some(contains(function, overload)),
        "validate" => validate,
        "sets.contains" | "sets.intersects" => |args, _| product(args).saturating_add(1),
        "sets.equivalent" => |args, _| product(args).saturating_mul(2).saturating_add(1),
        _ => return None,
    })
}

fn by_overload(overload: &str) -> Price {
    match overload {
        "starts_with_string" | "ends_with_string" | "strings_quote" | "string_format" | "string_to_bytes"
        | "bytes_to_string" => |args, _| scaled(size(args, 0), TRAVERSAL),
        "in_list" => |args, _| size(args, 1),
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => |args, _| scaled(size(args, 0).min(size(args, 1)), TRAVERSAL),
        "add_string" | "add_bytes" => {
            |args, _| scaled(size(args, 0).saturating_add(size(args, 1)), TRAVERSAL)
        }
        "list_slice" | "lists_range" | "list_reverse" => |_, result| made(result.size()),
        "list_flatten" | "list_flatten_int" => flattened,
        "list_distinct" => |args, _| compared(args.first()),
        sort if sort.ends_with("_sort") => |args, _| compared(args.first()),
        sort if sort.ends_with("_sortByAssociatedKeys") => |args, _| compared(args.get(1)),
        "matches_string" => pattern,
        "contains_string" => {
            |args, _| scaled(size(args, 0), TRAVERSAL).saturating_mul(scaled(size(args, 1), TRAVERSAL))
        }
        _ => |_, _| 1,
    }
}

fn size(args: &[Value<'_>], at: usize) -> u64 {
    args.get(at).map_or(1, Value::size)
}

fn product(args: &[Value<'_>]) -> u64 {
    size(args, 0).saturating_mul(size(args, 1))
}

fn pattern(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    scaled(size(args, 0).saturating_add(1), TRAVERSAL).saturating_mul(scaled(size(args, 1), PATTERN))
}

fn validate(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    let pattern = args[0].as_opaque::<Format>().map_or(1, Format::pattern_size);
    scaled(size(args, 1).saturating_add(1), TRAVERSAL).saturating_mul(scaled(pattern, PATTERN))
}

/// Of making a list by so much work.
fn made(work: u64) -> u64 {
    work.saturating_add(1 + LIST)
}

/// Of making a list by comparing all items of another.
fn compared(list: Option<&Value<'_>>) -> u64 {
    let Some(Value::List(list)) = list else { return made(0) };
    let size = list.len() as u64;
    let text = matches!(List::first(list), Some(Value::String(_) | Value::Bytes(_)));
    made(scaled(size.saturating_mul(size), if text { 2.0 + TRAVERSAL } else { 2.0 }))
}

fn flattened(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    let depth = if let Some(Value::Int(depth)) = args.get(1) { depth.unsigned_abs() } else { 1 };
    made(size(args, 0).saturating_mul(depth))
}

/// Of comparing an address or a range with a range, and of reading it where it is a text.
fn contains(function: &str, overload: &str) -> Price {
    fn compared(args: &[Value<'_>], masked: bool, read: bool) -> u64 {
        let range = size(args, 0);
        let mask = if masked { scaled(range, TRAVERSAL) + 1 } else { 0 };
        let reading = if read { scaled(size(args, 1), TRAVERSAL) } else { 0 };
        scaled(range.saturating_mul(2), TRAVERSAL) + mask + reading
    }
    match (function, overload) {
        (_, "cidr_contains_ip_string") => |args, _| compared(args, false, true),
        (_, "cidr_contains_cidr_string") => |args, _| compared(args, true, true),
        ("containsIP", _) => |args, _| compared(args, false, false),
        _ => |args, _| compared(args, true, false),
    }
}

/// Of walking over a value with all that it holds.
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => floor(text.len()),
        Value::Bytes(bytes) => floor(bytes.len()),
        Value::List(list) => list.iter().flatten().map(|item| traversal(&item)).sum(),
        Value::Map(map) => {
            map.iter().map(|(key, value)| traversal(&key) + value.map_or(0, |value| traversal(&value))).sum()
        }
        _ => 1,
    }
}

fn floor(size: usize) -> u64 {
    (size / 10) as u64
}

/// A size times a factor, rounded up.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as upstream computes it; sizes are no larger than memory"
)]
pub(crate) fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}
