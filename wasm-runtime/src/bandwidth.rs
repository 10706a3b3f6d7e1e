//! `limits.cpu`: how much of the processors a container, or all those of a Pod, may take in each period, as the kernel's CFS bandwidth control has it.
//!
//! Times are nanoseconds of a clock that only goes forward. A guest gives way only every few milliseconds, so it may overdraw
//! its budget; what it overdrew is taken off the periods that follow, so that the rate holds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The period, that of kubelet's `cpuCFSQuotaPeriod`.
const PERIOD: u64 = 100_000_000;
/// The least budget of a period; the kernel takes no less, either.
const LEAST: u64 = 1_000_000;

/// A budget that several threads take from.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// Whether there is a limit, to be read without the lock.
    limited: AtomicBool,
    bandwidth: Mutex<Bandwidth>,
}

impl Quota {
    /// The budget of a limit in thousandths of a processor.
    pub(crate) fn new(limit_millis: Option<u64>) -> Self {
        let bandwidth = Mutex::new(Bandwidth::new(limit_millis));
        Self { limited: AtomicBool::new(limit_millis.is_some()), bandwidth }
    }

    /// Changes the limit; what was overdrawn is forgotten.
    pub(crate) fn set(&self, limit_millis: Option<u64>) {
        self.limited.store(limit_millis.is_some(), Ordering::Relaxed);
        self.bandwidth.lock().limit(limit_millis);
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// Takes what was computed until `now`.
    pub(crate) fn spend(&self, now: u64, nanos: u64) {
        self.bandwidth.lock().spend(now, nanos);
    }

    /// What was taken in the period of `now`.
    pub(crate) fn spent(&self, now: u64) -> u64 {
        self.bandwidth.lock().spent(now)
    }

    /// How long to wait at `now` before more may be taken.
    pub(crate) fn wait(&self, now: u64) -> Option<Duration> {
        self.bandwidth.lock().wait(now)
    }
}

/// The budget as it is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Bandwidth {
    /// What it may take in each period, if that is limited.
    budget: Option<u64>,
    /// When the current period began.
    began: u64,
    /// What it took in the current period.
    spent: u64,
    /// What earlier periods overdrew.
    debt: u64,
}

impl Bandwidth {
    /// The budget of a limit in thousandths of a processor.
    fn new(limit_millis: Option<u64>) -> Self {
        let mut bandwidth = Self::default();
        bandwidth.limit(limit_millis);
        bandwidth
    }

    /// Changes the limit; what was overdrawn is forgotten.
    fn limit(&mut self, limit_millis: Option<u64>) {
        self.budget = limit_millis.map(|millis| millis.saturating_mul(PERIOD / 1000).max(LEAST));
        self.debt = 0;
    }

    /// Takes what was computed until `now`.
    fn spend(&mut self, now: u64, nanos: u64) {
        self.begin(now);
        self.spent += nanos;
    }

    /// What was taken in the period of `now`.
    fn spent(&mut self, now: u64) -> u64 {
        self.begin(now);
        self.spent
    }

    /// How long to wait at `now` before it may compute again.
    fn wait(&mut self, now: u64) -> Option<Duration> {
        self.begin(now);
        let budget = self.budget?;
        let taken = self.debt + self.spent;
        // Each period that begins pays back one budget.
        let periods = taken / budget;
        (periods > 0).then(|| Duration::from_nanos(self.began + periods.saturating_mul(PERIOD) - now))
    }

    /// Goes on to the period of `now`.
    fn begin(&mut self, now: u64) {
        let periods = now.saturating_sub(self.began) / PERIOD;
        if periods == 0 {
            return;
        }
        let taken = self.debt + self.spent;
        self.debt = self.budget.map_or(0, |budget| taken.saturating_sub(budget.saturating_mul(periods)));
        self.spent = 0;
        self.began += periods * PERIOD;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn without_a_limit_nobody_waits() {
        let mut bandwidth = Bandwidth::new(None);
        bandwidth.spend(0, u64::from(u32::MAX));
        assert_eq!(bandwidth.wait(0), None);
    }

    #[test]
    fn a_budget_that_is_used_up_is_waited_for_until_the_next_period() {
        let mut bandwidth = Bandwidth::new(Some(200));
        bandwidth.spend(15 * MILLISECOND, 15 * MILLISECOND);
        assert_eq!(bandwidth.wait(15 * MILLISECOND), None);
        bandwidth.spend(20 * MILLISECOND, 5 * MILLISECOND);
        assert_eq!(bandwidth.wait(20 * MILLISECOND), Some(Duration::from_millis(80)));
        assert_eq!(bandwidth.wait(100 * MILLISECOND), None);
    }

    #[test]
    fn what_was_overdrawn_is_paid_back() {
        let mut bandwidth = Bandwidth::new(Some(10));
        bandwidth.spend(0, 10 * MILLISECOND);
        assert_eq!(bandwidth.wait(0), Some(Duration::from_secs(1)));
        assert_eq!(bandwidth.wait(900 * MILLISECOND), Some(Duration::from_millis(100)));
        assert_eq!(bandwidth.wait(1000 * MILLISECOND), None);
    }

    #[test]
    fn what_was_not_used_is_not_saved() {
        let mut bandwidth = Bandwidth::new(Some(100));
        let late = 10_000 * MILLISECOND;
        bandwidth.spend(late, 11 * MILLISECOND);
        assert!(bandwidth.wait(late).is_some());
    }

    #[test]
    fn another_limit_counts_at_once() {
        let mut bandwidth = Bandwidth::new(Some(10));
        bandwidth.spend(0, 50 * MILLISECOND);
        bandwidth.limit(Some(600));
        assert_eq!(bandwidth.wait(0), None);
        bandwidth.limit(Some(500));
        assert_eq!(bandwidth.wait(0), Some(Duration::from_millis(100)));
    }

    proptest! {
        /// Whoever computes whenever it may takes its rate in the long run, whatever the length of its slices.
        #[test]
        fn the_rate_holds(millis in 10..4000_u64, slice in 100_000..20_000_000_u64) {
            let mut bandwidth = Bandwidth::new(Some(millis));
            let (mut now, mut used) = (0, 0);
            let end = 100 * PERIOD;
            while now < end {
                if let Some(wait) = bandwidth.wait(now) {
                    now += u64::try_from(wait.as_nanos()).unwrap();
                    continue;
                }
                // As many threads as the limit allows at most.
                now += slice / 4;
                used += slice;
                bandwidth.spend(now, slice);
            }
            let allowed = end / 1000 * millis;
            prop_assert!(used <= allowed + 2 * slice + allowed / 50, "{used} of {allowed}");
            let possible = allowed.min(end * 4);
            prop_assert!(used + 2 * slice + possible / 50 >= possible * 9 / 10, "{used} of {possible}");
        }
    }
}
