//! When certificates are renewed.
//!
//! Whoever holds a certificate renews it at 70 to 90 % of its life, spread so that what was issued together is not
//! renewed together. A certificate that is not valid yet is renewed as well: the clock was ahead when it was made.

use std::time::Duration;

use jiff::Timestamp;

/// How much earlier than now a certificate begins to be valid, for clocks that run behind.
pub const BACKDATE: Duration = Duration::from_mins(5);

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first moment.
    pub not_before: Timestamp,
    /// Its last.
    pub not_after: Timestamp,
}

impl Validity {
    /// By seconds since 1970, as certificates have it; none if they are no times of this calendar.
    pub fn from_seconds(not_before: i64, not_after: i64) -> Option<Self> {
        let not_before = Timestamp::from_second(not_before).ok()?;
        Some(Self { not_before, not_after: Timestamp::from_second(not_after).ok()? })
    }

    /// When to renew the certificate of this DER.
    pub fn renewal(self, der: &[u8]) -> Timestamp {
        let life = self.not_after.as_second().saturating_sub(self.not_before.as_second()).max(0);
        let share = 700 + i64::from(spread(der));
        Timestamp::from_second(self.not_before.as_second().saturating_add(life / 1000 * share))
            .unwrap_or(self.not_after)
    }

    /// Whether the certificate of this DER is to be renewed now.
    pub fn is_due(self, der: &[u8], now: Timestamp) -> bool {
        now < self.not_before || now >= self.renewal(der)
    }
}

/// A number up to 200 that differs between certificates: the end of their signature is as good as random.
fn spread(der: &[u8]) -> u8 {
    let sum = der.iter().rev().take(8).fold(0_u32, |sum, byte| sum * 31 % 201 + u32::from(*byte));
    u8::try_from(sum % 201).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn renewal_is_between_70_and_90_percent_of_life() {
        let validity = Validity { not_before: at(1_000_000), not_after: at(2_000_000) };
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..2000_u32 {
            let renewal = validity.renewal(&number.to_be_bytes());
            assert!(at(1_700_000) <= renewal && renewal <= at(1_900_000), "{renewal}");
            seen.insert(renewal);
        }
        assert!(seen.len() > 100, "{}", seen.len());
    }

    #[test]
    fn what_is_not_valid_yet_is_due_as_is_what_was() {
        let validity = Validity { not_before: at(1000), not_after: at(2000) };
        for (now, due) in [(999, true), (1000, false), (1699, false), (1900, true), (9000, true)] {
            assert_eq!(validity.is_due(b"x", at(now)), due, "{now}");
        }
    }

    #[test]
    fn a_life_of_nonsense_is_due() {
        for (from, until) in [(i64::MIN, 0), (0, i64::MAX)] {
            assert_eq!(Validity::from_seconds(from, until), None);
        }
        let backwards = Validity { not_before: at(2000), not_after: at(1000) };
        assert!(backwards.is_due(b"x", at(1500)) && backwards.is_due(b"x", at(2500)));
    }
}
