//! [`Time`]: a point in time of the years 1 to 9999, and how times and spans are written.

use std::fmt;

use crate::error::Error;

/// A point in time, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanos: u32,
}

const DAY: i64 = 86_400;
const NANO: i128 = 1_000_000_000;
/// 0001-01-01T00:00:00Z.
const FIRST: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;

/// A time as clocks and calendars show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From one.
    pub(crate) month: i64,
    /// From one.
    pub(crate) day: i64,
    /// From zero, a Sunday.
    pub(crate) weekday: i64,
    /// From zero.
    pub(crate) day_of_year: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Time {
    /// The time of that many seconds since 1970, if years are written with four digits then.
    pub fn from_seconds(seconds: i64) -> Result<Self, Error> {
        if (FIRST..=LAST).contains(&seconds) { Ok(Self { seconds, nanos: 0 }) } else { Err(overflow()) }
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let digits = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
        };
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if !marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) {
            return None;
        }
        let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
        let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
        let in_range = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        if !in_range || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (nanos, zone) = fraction(&text[19..])?;
        let seconds =
            days_since_epoch(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
        (FIRST..=LAST).contains(&seconds).then_some(Self { seconds, nanos })
    }

    /// This time so many nanoseconds later.
    pub(crate) fn plus(self, nanos: i128) -> Result<Self, Error> {
        Self::from_nanos(self.as_nanos() + nanos)
    }

    /// Nanoseconds from the other time to this.
    pub(crate) fn since(self, other: Self) -> Result<i64, Error> {
        i64::try_from(self.as_nanos() - other.as_nanos()).map_err(|_| Error::Overflow("duration"))
    }

    fn as_nanos(self) -> i128 {
        i128::from(self.seconds) * NANO + i128::from(self.nanos)
    }

    fn from_nanos(nanos: i128) -> Result<Self, Error> {
        let seconds = i64::try_from(nanos.div_euclid(NANO)).map_err(|_| overflow())?;
        let nanos = u32::try_from(nanos.rem_euclid(NANO)).map_err(|_| overflow())?;
        Ok(Self { nanos, ..Self::from_seconds(seconds)? })
    }

    /// What clocks show that are so many seconds ahead of UTC.
    pub(crate) fn civil(self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (days, rest) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            weekday: (days + 4).rem_euclid(7),
            day_of_year: days - days_since_epoch(year, 1, 1),
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }
}

fn overflow() -> Error {
    Error::Overflow("timestamp")
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second, .. } = self.civil(0);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

fn fraction(rest: &str) -> Option<(u32, &str)> {
    let Some(behind) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    let nanos: String = behind[..digits].chars().chain(std::iter::repeat('0')).take(9).collect();
    if digits == 0 { None } else { Some((nanos.parse().ok()?, &behind[digits..])) }
}

/// Seconds that `Z` or `+hh:mm` is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten().map(i64::from);
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, by the era algorithm of civil calendars (years begin in March there).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Reads a span of time as Go writes it: `-1h30m`, `1.5s`.
pub(crate) fn parse_duration(text: &str) -> Result<i64, Error> {
    let invalid = || Error::other(format!("time: invalid duration {text:?}"));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (whole, fraction) = rest[..number].split_once('.').unwrap_or((&rest[..number], ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        rest = &rest[number..];
        let unit = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(unit);
        if name.is_empty() {
            return Err(Error::other(format!("time: missing unit in duration {text:?}")));
        }
        let (_, nanos) = UNITS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| Error::other(format!("time: unknown unit {name:?} in duration {text:?}")))?;
        total = part(whole, fraction, *nanos).and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
        rest = behind;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// A number of units in nanoseconds.
#[expect(clippy::cast_possible_truncation, reason = "units are whole and a fraction is below one unit")]
fn part(whole: &str, fraction: &str, unit: f64) -> Option<i128> {
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    whole.checked_mul(unit as i128)?.checked_add((fraction * unit + 1e-6) as i128)
}

#[cfg(test)]
mod tests {
    use super::{Time, parse_duration};

    #[test]
    fn times_print_as_they_are_read_in_utc() {
        for (text, printed) in [
            ("2009-02-13T23:31:30Z", "2009-02-13T23:31:30Z"),
            ("2024-02-29T00:00:00.120+01:30", "2024-02-28T22:30:00.12Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Time::parse(text).expect(text).to_string(), printed);
        }
        for wrong in
            ["", "2023-02-29T00:00:00Z", "2023-01-01", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00", "ü"]
        {
            assert_eq!(Time::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(parse_duration("1h30m1.5s"), Ok(5_401_500_000_000));
        assert_eq!(parse_duration("-1.5ms"), Ok(-1_500_000));
        assert_eq!(parse_duration("0"), Ok(0));
        for wrong in ["", "1", "s", "1x", "1.2.3s", "9999999999h", "é", "1é"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
