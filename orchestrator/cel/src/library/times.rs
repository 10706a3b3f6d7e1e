//! What clocks and calendars show of a time, and the units of a span.

use super::zones;
use crate::env::Row;
use crate::error::Error;
use crate::value::Value;
use crate::value::time::Civil;

type Result<T> = std::result::Result<T, Error>;

macro_rules! accessor {
    ($function:literal, $name:literal, $call:path) => {
        [
            ($function, concat!("timestamp_to_", $name), "timestamp.() -> int", $call),
            ($function, concat!("timestamp_to_", $name, "_with_tz"), "timestamp.(string) -> int", $call),
        ]
    };
}

const PAIRS: [[Row; 2]; 10] = [
    accessor!("getFullYear", "year", year),
    accessor!("getMonth", "month", month),
    accessor!("getDayOfYear", "day_of_year", day_of_year),
    accessor!("getDayOfMonth", "day_of_month", day_of_month),
    accessor!("getDate", "day_of_month_1_based", date),
    accessor!("getDayOfWeek", "day_of_week", day_of_week),
    accessor!("getHours", "hours", hours),
    accessor!("getMinutes", "minutes", minutes),
    accessor!("getSeconds", "seconds", seconds),
    accessor!("getMilliseconds", "milliseconds", milliseconds),
];

const SPANS: [Row; 4] = [
    ("getHours", "duration_to_hours", "duration.() -> int", hours),
    ("getMinutes", "duration_to_minutes", "duration.() -> int", minutes),
    ("getSeconds", "duration_to_seconds", "duration.() -> int", seconds),
    ("getMilliseconds", "duration_to_milliseconds", "duration.() -> int", milliseconds),
];

const fn joined() -> [Row; 24] {
    let mut rows = [SPANS[0]; 24];
    let mut at = 0;
    while at < 20 {
        rows[at] = PAIRS[at / 2][at % 2];
        at += 1;
    }
    while at < 24 {
        rows[at] = SPANS[at - 20];
        at += 1;
    }
    rows
}

pub(super) const ROWS: &[Row] = &joined();

/// What a clock shows in UTC or in the zone that is named.
fn shown<'a>(args: &[Value<'a>], part: fn(Civil) -> i64) -> Result<Value<'a>> {
    match args {
        [Value::Timestamp(time)] => Ok(Value::Int(part(time.civil(0)))),
        [Value::Timestamp(time), Value::String(zone)] => {
            Ok(Value::Int(part(time.civil(zones::offset(zone, time.seconds)?))))
        }
        _ => Err(Error::no_overload()),
    }
}

/// The same of a time, or a span in units of so many nanoseconds.
fn shown_or_spanned<'a>(args: &[Value<'a>], part: fn(Civil) -> i64, unit: i64) -> Result<Value<'a>> {
    if let [Value::Duration(nanos)] = args {
        return Ok(Value::Int(nanos / unit));
    }
    shown(args, part)
}

fn year<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown(args, |civil| civil.year)
}

fn month<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown(args, |civil| civil.month - 1)
}

fn day_of_year<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown(args, |civil| civil.day_of_year)
}

fn day_of_month<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown(args, |civil| civil.day - 1)
}

fn date<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown(args, |civil| civil.day)
}

fn day_of_week<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown(args, |civil| civil.weekday)
}

fn hours<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown_or_spanned(args, |civil| civil.hour, 3_600_000_000_000)
}

fn minutes<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown_or_spanned(args, |civil| civil.minute, 60_000_000_000)
}

fn seconds<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    shown_or_spanned(args, |civil| civil.second, 1_000_000_000)
}

fn milliseconds<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::Timestamp(time), ..] => Ok(Value::Int(i64::from(time.nanos / 1_000_000))),
        _ => shown_or_spanned(args, |_| 0, 1_000_000),
    }
}
