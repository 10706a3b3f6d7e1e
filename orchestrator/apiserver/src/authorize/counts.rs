//! What is counted of those who decide.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// Upper bounds of the classes of calls' durations, in milliseconds.
pub(crate) const CALLS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];
/// Upper bounds of the classes of the durations of conditions, in milliseconds.
pub(crate) const CONDITIONS: [u64; 7] = [1, 5, 10, 25, 100, 200, 250];

/// How a call of a webhook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Error,
    Success,
    Timeout,
}

impl Outcome {
    /// The names under which outcomes are counted.
    pub(crate) const NAMES: [&'static str; 3] = ["error", "success", "timeout"];
}

/// How long something took, and how often.
#[derive(Debug)]
pub(crate) struct Durations<const N: usize> {
    bounds: &'static [u64; N],
    classes: [AtomicU64; N],
    longer: AtomicU64,
    nanoseconds: AtomicU64,
}

impl<const N: usize> Durations<N> {
    fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            classes: std::array::from_fn(|_| AtomicU64::new(0)),
            longer: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        }
    }

    fn record(&self, duration: SignedDuration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or_default();
        let class = self.bounds.iter().position(|bound| nanoseconds <= bound * 1_000_000);
        class.map_or(&self.longer, |at| &self.classes[at]).fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// For each bound how many took at most as long, then how many there were; and how long all took together.
    pub(crate) fn read(&self) -> (Vec<(u64, u64)>, u64, u64) {
        let mut sum = 0;
        let classes = self.bounds.iter().zip(&self.classes).map(|(bound, count)| {
            sum += count.load(Ordering::Relaxed);
            (*bound, sum)
        });
        let classes = classes.collect();
        (classes, sum + self.longer.load(Ordering::Relaxed), self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// What is counted of one who decides.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) allowed: AtomicU64,
    pub(crate) denied: AtomicU64,
    /// Conditions that could not be evaluated.
    pub(crate) broken: AtomicU64,
    /// Questions that conditions kept from a webhook.
    pub(crate) excluded: AtomicU64,
    pub(crate) conditions: Durations<{ CONDITIONS.len() }>,
    /// Calls, by [`Outcome`].
    pub(crate) calls: [Durations<{ CALLS.len() }>; Outcome::NAMES.len()],
    /// Calls that failed and did not keep others from deciding, by [`Outcome`].
    pub(crate) passed: [AtomicU64; Outcome::NAMES.len()],
}

impl Counts {
    /// Counters at zero.
    pub(super) fn new(kind: &'static str, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            allowed: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            excluded: AtomicU64::new(0),
            conditions: Durations::new(&CONDITIONS),
            calls: std::array::from_fn(|_| Durations::new(&CALLS)),
            passed: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(super) fn is_of(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }

    pub(super) fn decided(&self, allowed: bool) {
        let count = if allowed { &self.allowed } else { &self.denied };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an evaluation of conditions: whether they hold, if that can be told.
    pub(super) fn matched(&self, holds: Option<bool>, duration: SignedDuration) {
        self.conditions.record(duration);
        match holds {
            Some(true) => {}
            Some(false) => drop(self.excluded.fetch_add(1, Ordering::Relaxed)),
            None => drop(self.broken.fetch_add(1, Ordering::Relaxed)),
        }
    }

    pub(super) fn called(&self, outcome: Outcome, duration: SignedDuration) {
        self.calls[outcome as usize].record(duration);
    }

    pub(super) fn passed(&self, outcome: Outcome) {
        self.passed[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// How often a configuration was read again, and when it was last, in milliseconds: well, and not.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) done: (AtomicU64, AtomicI64),
    pub(crate) failed: (AtomicU64, AtomicI64),
}

impl Reloads {
    pub(super) fn count(&self, well: bool, now: Timestamp) {
        let (count, last) = if well { &self.done } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        last.store(now.as_millisecond(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_counted_in_its_class_and_all_above() {
        let counts = Counts::new("Webhook", "w");
        counts.called(Outcome::Timeout, SignedDuration::from_millis(1500));
        counts.called(Outcome::Timeout, SignedDuration::from_secs(60));
        let (classes, total, nanoseconds) = counts.calls[Outcome::Timeout as usize].read();
        assert_eq!(classes[7..9], [(1000, 0), (2500, 1)]);
        assert_eq!((total, nanoseconds), (2, 61_500_000_000));
        assert_eq!(counts.calls[Outcome::Success as usize].read().1, 0);
    }
}
