//! Schedules of CronJobs, as the library reads them that upstream uses: five fields, a word for a common one, or `@every`.

mod field;
mod next;
#[cfg(test)]
mod tests;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use field::{DAYS, Field, HOURS, MINUTES, MONTHS, Set, WEEKDAYS};

/// When something is to happen, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The zone that the schedule itself names.
    zone: Option<TimeZone>,
    times: Times,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Times {
    Every(SignedDuration),
    Fields(Box<Fields>),
}

/// The times whose parts are in all of these.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

const FIELDS: [&Field; 5] = [&MINUTES, &HOURS, &DAYS, &MONTHS, &WEEKDAYS];
const WORDS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads a schedule; the error is in the words of the library.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let (zone, text) = zone(text)?;
        let times = match text.strip_prefix("@every ") {
            Some(duration) => Times::Every(every(text, duration)?),
            None if text.starts_with('@') => {
                let known = WORDS.iter().find(|(word, _)| *word == text);
                let (_, fields) = known.ok_or_else(|| format!("unrecognized descriptor: {text}"))?;
                Times::Fields(Box::new(fields_of(fields)?))
            }
            None => Times::Fields(Box::new(fields_of(text)?)),
        };
        Ok(Self { zone, times })
    }
}

/// Splits off a zone before the fields.
fn zone(text: &str) -> Result<(Option<TimeZone>, &str), String> {
    let Some(named) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) else {
        return Ok((None, text));
    };
    let (name, rest) = named.split_once(' ').unwrap_or((named, ""));
    let zone = if name.is_empty() { Ok(TimeZone::UTC) } else { TimeZone::get(name) };
    let zone = zone.map_err(|_| format!("provided bad location {name}: unknown time zone {name}"))?;
    Ok((Some(zone), rest.trim()))
}

fn fields_of(text: &str) -> Result<Fields, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = parts[..] else {
        let (wanted, count, shown) = (FIELDS.len(), parts.len(), parts.join(" "));
        return Err(format!("expected exactly {wanted} fields, found {count}: [{shown}]"));
    };
    Ok(Fields {
        minutes: MINUTES.read(minutes)?,
        hours: HOURS.read(hours)?,
        days: DAYS.read(days)?,
        months: MONTHS.read(months)?,
        weekdays: WEEKDAYS.read(weekdays)?,
    })
}

/// Whole seconds, and at least one.
fn every(whole: &str, duration: &str) -> Result<SignedDuration, String> {
    let read = go_duration(duration)
        .ok_or_else(|| format!("failed to parse duration {whole}: time: invalid duration {duration:?}"))?;
    Ok(SignedDuration::from_secs(read.as_secs().max(1)))
}

/// A duration as Go writes it: numbers with units, `1h30m`.
fn go_duration(text: &str) -> Option<SignedDuration> {
    const UNITS: &[(&str, f64)] = &[
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let tail = &rest[end..];
        let units = UNITS.iter().filter(|(unit, _)| tail.starts_with(unit));
        let (unit, scale) = units.max_by_key(|(unit, _)| unit.len())?;
        seconds += rest[..end].parse::<f64>().ok()? * scale;
        rest = &tail[unit.len()..];
    }
    // Beyond this Go's durations do not reach.
    let most = SignedDuration::from_nanos(i64::MAX);
    let read = SignedDuration::try_from_secs_f64(seconds).ok().filter(|read| *read <= most)?;
    Some(if negative { -read } else { read })
}
