//! How fast processors are used, between two questions about it: nothing is looked at while nobody asks.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

/// Over less than that a rate says little; the one before stays.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<String, Sample>>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    nanos: u64,
    rate: Option<u64>,
}

impl Rates {
    /// Billionths of a processor that were used since the last question, from all that was used by now; `None` if there was none.
    pub(super) fn since_last(&self, what: &str, at: Timestamp, nanos: u64) -> Option<u64> {
        let mut samples = self.0.lock();
        let before = samples.get(what).copied();
        let elapsed = before.map_or(SignedDuration::ZERO, |before| at.duration_since(before.at));
        let sample = match before {
            Some(before) if elapsed < SHORTEST => return before.rate,
            // What counts from the start again has begun anew.
            Some(before) if nanos >= before.nanos => {
                let used = u128::from(nanos - before.nanos) * 1_000_000_000;
                let rate = used / elapsed.as_nanos().unsigned_abs().max(1);
                Sample { at, nanos, rate: u64::try_from(rate).ok() }
            }
            Some(_) | None => Sample { at, nanos, rate: None },
        };
        samples.insert(what.to_owned(), sample);
        sample.rate
    }

    /// Forgets what was not asked about then.
    pub(super) fn forget_others(&self, at: Timestamp) {
        self.0.lock().retain(|_, sample| at.duration_since(sample.at) < SHORTEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_two_questions() {
        let rates = Rates::default();
        let at = |millis: i64| Timestamp::from_millisecond(millis).unwrap();
        assert_eq!(rates.since_last("a", at(0), 1000), None);
        assert_eq!(rates.since_last("a", at(500), 9000), None, "that was too soon to tell");
        assert_eq!(rates.since_last("a", at(2000), 2_000_001_000), Some(1_000_000_000));
        assert_eq!(rates.since_last("a", at(2500), 9_000_001_000), Some(1_000_000_000));
        assert_eq!(rates.since_last("a", at(4000), 10), None, "it was started again");
        rates.forget_others(at(6000));
        assert_eq!(rates.since_last("a", at(7000), 20), None);
    }
}
