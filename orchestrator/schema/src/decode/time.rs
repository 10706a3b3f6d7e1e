//! Times as the API writes them: RFC 3339 in UTC, to the second or to the microsecond.
//!
//! Reads what Go's `time.Parse` reads with these layouts and refuses in its words.

use jiff::civil::DateTime;
use jiff::tz::Offset;

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// A `Time`: any fraction is cut off.
pub(super) fn seconds(text: &str) -> Result<String, String> {
    let utc = parse(text, SECONDS, false)?;
    Ok(if is_canonical(text, "2006-01-02T15:04:05Z".len()) {
        text.to_owned()
    } else {
        utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    })
}

/// A `MicroTime`: six digits of fraction are required.
pub(super) fn micros(text: &str) -> Result<String, String> {
    let utc = parse(text, MICROS, true)?;
    Ok(if is_canonical(text, "2006-01-02T15:04:05.000000Z".len()) {
        text.to_owned()
    } else {
        utc.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    })
}

/// Whether a text that is a time is written as it would be: nearly all are, and printing is slow.
fn is_canonical(text: &str, length: usize) -> bool {
    text.len() == length && text.ends_with('Z') && !text.contains(',')
}

/// Why a text is no time.
enum Fault<'a> {
    /// The rest of the text does not start with this element of the layout.
    Element(&'a str, &'static str),
    /// A number is too large.
    Range(&'static str),
    /// Something follows the time.
    Extra(&'a str),
}

fn parse(text: &str, layout: &str, fraction: bool) -> Result<jiff::Timestamp, String> {
    read(text, fraction).map_err(|fault| match fault {
        Fault::Element(rest, element) => {
            format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")
        }
        Fault::Range(what) => format!("parsing time {text:?}: {what} out of range"),
        Fault::Extra(rest) => format!("parsing time {text:?}: extra text: {rest:?}"),
    })
}

fn read(text: &str, fraction: bool) -> Result<jiff::Timestamp, Fault<'_>> {
    let mut rest = text;
    let year = digits(&mut rest, 4, "2006")?;
    literal(&mut rest, "-")?;
    let month = in_range(digits(&mut rest, 2, "01")?, 1..=12, "month")?;
    literal(&mut rest, "-")?;
    let day = digits(&mut rest, 2, "02")?;
    literal(&mut rest, "T")?;
    let hour = in_range(digits(&mut rest, 2, "15")?, 0..=23, "hour")?;
    literal(&mut rest, ":")?;
    let minute = in_range(digits(&mut rest, 2, "04")?, 0..=59, "minute")?;
    literal(&mut rest, ":")?;
    let second = in_range(digits(&mut rest, 2, "05")?, 0..=59, "second")?;
    let nanos = if fraction { micro_fraction(&mut rest)? } else { any_fraction(&mut rest) };
    let offset = zone(&mut rest)?;
    if !rest.is_empty() {
        return Err(Fault::Extra(rest));
    }
    let small = |number: i32| i8::try_from(number).expect("two digits fit");
    let year = i16::try_from(year).expect("four digits fit");
    DateTime::new(year, small(month), small(day), small(hour), small(minute), small(second), nanos)
        .ok()
        .and_then(|civil| Offset::from_seconds(offset).ok()?.to_timestamp(civil).ok())
        .ok_or(Fault::Range("day"))
}

fn digits<'a>(rest: &mut &'a str, count: usize, element: &'static str) -> Result<i32, Fault<'a>> {
    let number = rest.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.ok_or(Fault::Element(rest, element))?;
    *rest = &rest[count..];
    Ok(number.parse().expect("a few digits"))
}

fn literal<'a>(rest: &mut &'a str, text: &'static str) -> Result<(), Fault<'a>> {
    *rest = rest.strip_prefix(text).ok_or(Fault::Element(rest, text))?;
    Ok(())
}

fn in_range<'a>(
    number: i32,
    range: std::ops::RangeInclusive<i32>,
    what: &'static str,
) -> Result<i32, Fault<'a>> {
    if range.contains(&number) { Ok(number) } else { Err(Fault::Range(what)) }
}

/// Nanoseconds of a fraction of exactly six digits.
fn micro_fraction<'a>(rest: &mut &'a str) -> Result<i32, Fault<'a>> {
    let fault = Fault::Element(rest, ".000000");
    let mut after = rest.strip_prefix(['.', ',']).ok_or(fault)?;
    let micros = digits(&mut after, 6, ".000000").map_err(|_| Fault::Element(rest, ".000000"))?;
    *rest = after;
    Ok(micros * 1000)
}

/// Passes over a fraction of any length; `Time` has none.
fn any_fraction(rest: &mut &str) -> i32 {
    if let Some(after) =
        rest.strip_prefix(['.', ',']).filter(|after| after.starts_with(|c: char| c.is_ascii_digit()))
    {
        *rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    0
}

/// Seconds east of UTC.
fn zone<'a>(rest: &mut &'a str) -> Result<i32, Fault<'a>> {
    if let Some(after) = rest.strip_prefix('Z') {
        *rest = after;
        return Ok(0);
    }
    let fault = || Fault::Element(rest, "Z07:00");
    let sign = match rest.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(fault()),
    };
    let mut after = &rest[1..];
    let hours = digits(&mut after, 2, "Z07:00").map_err(|_| fault())?;
    after = after.strip_prefix(':').ok_or_else(fault)?;
    let minutes = digits(&mut after, 2, "Z07:00").map_err(|_| fault())?;
    let hours = in_range(hours, 0..=24, "time zone offset hour")?;
    let minutes = in_range(minutes, 0..=59, "time zone offset minute")?;
    *rest = after;
    Ok(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{micros, seconds};

    #[rstest]
    #[case("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z")]
    #[case("2024-01-01T00:00:00.987Z", "2024-01-01T00:00:00Z")]
    #[case("2024-01-01T01:30:00+02:00", "2023-12-31T23:30:00Z")]
    #[case("2024-02-29T23:00:00-01:00", "2024-03-01T00:00:00Z")]
    fn times_are_cut_to_seconds_in_utc(#[case] text: &str, #[case] canonical: &str) {
        assert_eq!(seconds(text).as_deref(), Ok(canonical));
    }

    #[test]
    fn micro_times_keep_six_digits() {
        let canonical = "2024-01-01T00:00:01.500000Z";
        assert_eq!(micros(canonical).as_deref(), Ok(canonical));
        assert_eq!(micros("2024-01-01T02:00:01.500000+02:00").as_deref(), Ok(canonical));
    }

    #[rstest]
    #[case("x", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#)]
    #[case("", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#)]
    #[case(
        "2024-1-01T00:00:00Z",
        r#" as "2006-01-02T15:04:05Z07:00": cannot parse "1-01T00:00:00Z" as "01""#
    )]
    #[case("2024-01-01 00:00:00Z", r#" as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T""#)]
    #[case("2024-01-01T00:00:00", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#)]
    #[case("2024-13-01T00:00:00Z", ": month out of range")]
    #[case("2024-02-30T00:00:00Z", ": day out of range")]
    #[case("2024-01-01T24:00:00Z", ": hour out of range")]
    #[case("2024-01-01T00:00:00Zx", r#": extra text: "x""#)]
    #[case("é", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "é" as "2006""#)]
    fn errors_read_as_those_of_go(#[case] text: &str, #[case] tail: &str) {
        assert_eq!(seconds(text).unwrap_err(), format!("parsing time {text:?}{tail}"));
    }

    #[test]
    fn a_comma_becomes_a_point() {
        assert_eq!(micros("2024-01-01T00:00:01,500000Z").as_deref(), Ok("2024-01-01T00:00:01.500000Z"));
    }

    #[test]
    fn a_micro_time_needs_its_fraction() {
        assert_eq!(
            micros("2024-01-01T00:00:00Z").unwrap_err(),
            r#"parsing time "2024-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
        );
    }
}
