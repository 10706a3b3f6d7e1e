//! Schedules of CronJobs: five fields, or a word for a common one.

/// The fields, with their least and greatest numbers and the names of these numbers.
const FIELDS: [Field; 5] = [
    Field { low: 0, high: 59, names: &[] },
    Field { low: 0, high: 23, names: &[] },
    Field { low: 1, high: 31, names: &[] },
    Field {
        low: 1,
        high: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];
const WORDS: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// What one field of a schedule can be.
struct Field {
    low: i64,
    high: i64,
    names: &'static [&'static str],
}

/// What is wrong with a schedule, in the words of the library that upstream uses.
pub(crate) fn check(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let zoned = schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=");
    let schedule =
        if zoned { schedule.split_once(' ').map_or("", |(_, rest)| rest.trim()) } else { schedule };
    if schedule.starts_with('@') {
        return check_word(schedule);
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let (count, shown) = (fields.len(), fields.join(" "));
        return Err(format!("expected exactly {} fields, found {count}: [{shown}]", FIELDS.len()));
    }
    fields.iter().zip(&FIELDS).try_for_each(|(text, field)| {
        text.split(',').filter(|range| !range.is_empty()).try_for_each(|range| field.check(range))
    })
}

fn check_word(word: &str) -> Result<(), String> {
    if WORDS.contains(&word) {
        return Ok(());
    }
    match word.strip_prefix("@every ") {
        Some(duration) if is_duration(duration) => Ok(()),
        Some(duration) => {
            Err(format!("failed to parse duration {word}: time: invalid duration {duration:?}"))
        }
        None => Err(format!("unrecognized descriptor: {word}")),
    }
}

/// Numbers with units: `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let units = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
        let tail = &rest[end..];
        let unit = units.iter().filter(|unit| tail.starts_with(**unit)).max_by_key(|unit| unit.len());
        let (true, Some(unit)) = (rest[..end].parse::<f64>().is_ok(), unit) else { return false };
        rest = &tail[unit.len()..];
        any = true;
    }
    any
}

fn number(text: &str, whole: &str) -> Result<i64, String> {
    let parsed: i64 = text.parse().map_err(|_| {
        format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")
    })?;
    if parsed < 0 { Err(format!("negative number ({parsed}) not allowed: {whole}")) } else { Ok(parsed) }
}

impl Field {
    fn value(&self, text: &str) -> Result<i64, String> {
        let lowered = text.to_lowercase();
        match self.names.iter().position(|name| *name == lowered) {
            Some(at) => Ok(self.low + i64::try_from(at).unwrap_or(0)),
            None => number(text, text),
        }
    }

    /// A number, a range or everything, with a step or without.
    fn check(&self, text: &str) -> Result<(), String> {
        let (range, step): (Vec<&str>, Vec<&str>) = {
            let step: Vec<&str> = text.split('/').collect();
            (step[0].split('-').collect(), step)
        };
        let (start, mut end) = if matches!(range[0], "*" | "?") {
            (self.low, self.high)
        } else {
            let start = self.value(range[0])?;
            match range[..] {
                [_] => (start, start),
                [_, end] => (start, self.value(end)?),
                _ => return Err(format!("too many hyphens: {text}")),
            }
        };
        let step = match step[..] {
            [_] => 1,
            [_, step] => {
                if range.len() == 1 {
                    end = self.high;
                }
                number(step, step)?
            }
            _ => return Err(format!("too many slashes: {text}")),
        };
        if start < self.low {
            return Err(format!("beginning of range ({start}) below minimum ({}): {text}", self.low));
        }
        if end > self.high {
            return Err(format!("end of range ({end}) above maximum ({}): {text}", self.high));
        }
        if start > end {
            return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
        }
        if step == 0 { Err(format!("step of range should be a positive number: {text}")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::check;

    #[rstest]
    #[case("* * * * *")]
    #[case("*/5 0-6,8 1,15 jan-MAR ?")]
    #[case("5/10 * * * sun")]
    #[case("@hourly")]
    #[case("@every 1h30m")]
    #[case("TZ=UTC * * * * *")]
    fn schedules(#[case] text: &str) {
        assert_eq!(check(text), Ok(()));
    }

    #[rstest]
    #[case("x", "expected exactly 5 fields, found 1: [x]")]
    #[case("60 * * * *", "end of range (60) above maximum (59): 60")]
    #[case("* * 0 * *", "beginning of range (0) below minimum (1): 0")]
    #[case("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1")]
    #[case("*/0 * * * *", "step of range should be a positive number: */0")]
    #[case("1-2-3 * * * *", "too many hyphens: 1-2-3")]
    #[case("*/1/2 * * * *", "too many slashes: */1/2")]
    #[case("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax")]
    #[case("@never", "unrecognized descriptor: @never")]
    fn texts_that_are_none(#[case] text: &str, #[case] why: &str) {
        assert_eq!(check(text), Err(why.to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_a_schedule_or_not(text in "[-*/,?@0-9a-z ]{0,40}") {
            let _ = check(&text);
        }
    }
}
