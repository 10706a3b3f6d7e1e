//! One field of a schedule: numbers, names, ranges and steps.

/// What one field of a schedule can be: its least and greatest numbers, and the names of these numbers.
pub(super) struct Field {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

pub(super) const MINUTES: Field = Field { low: 0, high: 59, names: &[] };
pub(super) const HOURS: Field = Field { low: 0, high: 23, names: &[] };
pub(super) const DAYS: Field = Field { low: 1, high: 31, names: &[] };
pub(super) const MONTHS: Field = Field {
    low: 1,
    high: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
pub(super) const WEEKDAYS: Field =
    Field { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// The numbers that a field chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    bits: u64,
    /// Whether it was left open which, by a star without steps.
    pub(super) any: bool,
}

impl Set {
    pub(super) fn has(self, number: u32) -> bool {
        number < u64::BITS && self.bits & (1 << number) != 0
    }
}

impl Field {
    /// Reads a list of ranges.
    pub(super) fn read(&self, text: &str) -> Result<Set, String> {
        let mut set = Set::default();
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let read = self.range(range)?;
            set = Set { bits: set.bits | read.bits, any: set.any || read.any };
        }
        Ok(set)
    }

    /// A number, a range or everything, with a step or without.
    fn range(&self, text: &str) -> Result<Set, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let ends: Vec<&str> = parts[0].split('-').collect();
        let star = matches!(ends[0], "*" | "?");
        let (start, mut end) = match ends[..] {
            _ if star => (self.low, self.high),
            [one] => (self.number(one)?, self.number(one)?),
            [start, end] => (self.number(start)?, self.number(end)?),
            _ => {
                self.number(ends[0])?;
                return Err(format!("too many hyphens: {text}"));
            }
        };
        let step = match parts[..] {
            [_] => 1,
            [_, step] => {
                if ends.len() == 1 {
                    end = self.high;
                }
                number(step)?
            }
            _ => return Err(format!("too many slashes: {text}")),
        };
        self.check((start, end, step), text)?;
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let bits = (start..=end).step_by(step).fold(0, |bits, number| bits | 1 << number);
        Ok(Set { bits, any: star && step == 1 })
    }

    fn check(&self, (start, end, step): (u32, u32, u32), text: &str) -> Result<(), String> {
        let (low, high) = (self.low, self.high);
        if start < low {
            return Err(format!("beginning of range ({start}) below minimum ({low}): {text}"));
        }
        if end > high {
            return Err(format!("end of range ({end}) above maximum ({high}): {text}"));
        }
        if start > end {
            return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
        }
        if step == 0 { Err(format!("step of range should be a positive number: {text}")) } else { Ok(()) }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lowered = text.to_lowercase();
        let named = (self.low..).zip(self.names).find(|(_, name)| **name == lowered);
        named.map_or_else(|| number(text), |(number, _)| Ok(number))
    }
}

fn number(text: &str) -> Result<u32, String> {
    let parsed: i64 = text.parse().map_err(|_| {
        format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")
    })?;
    if parsed < 0 {
        return Err(format!("negative number ({parsed}) not allowed: {text}"));
    }
    Ok(u32::try_from(parsed).unwrap_or(u32::MAX))
}
