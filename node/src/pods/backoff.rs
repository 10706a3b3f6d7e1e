//! How long to wait before trying again, as kubelet does.

use std::time::Duration;

use jiff::Timestamp;

/// The wait after the first failure.
pub(super) const FIRST: Duration = Duration::from_secs(10);
/// The longest wait, unless the node is told another.
pub(super) const LONGEST: Duration = Duration::from_mins(5);
/// A container that ran this long has its back-off forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// The crash-loop back-off of one container.
///
/// The first restart is immediate; the waits before the following ones are 10 s, 20 s, 40 s up to 5 minutes or what the
/// node is told, counted from the container's end. 10 minutes without a restart start over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    last: Option<(Duration, Timestamp)>,
}

impl Backoff {
    /// How long a container that ended at `finished_at` waits, counted from then.
    pub(super) fn delay(&self, finished_at: Timestamp) -> Duration {
        match self.last {
            Some((delay, updated)) if finished_at < later(updated, FORGOTTEN_AFTER) => delay,
            _ => Duration::ZERO,
        }
    }

    /// Notes that the container, which ended at `finished_at`, is being restarted. No wait will be longer than `longest`.
    pub(super) fn advance(&mut self, finished_at: Timestamp, now: Timestamp, longest: Duration) {
        let next = match self.delay(finished_at) {
            Duration::ZERO => FIRST,
            delay => delay * 2,
        };
        self.last = Some((next.min(longest), now));
    }
}

/// The wait after so many failures of a step in a row: 10 s doubling to 5 minutes.
pub(super) fn retry_delay(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(LONGEST)
}

/// The wait after so many failures to set a pod up: 1 s doubling to 1 minute.
pub(super) fn setup_delay(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_mins(1))
}

/// `time + duration`, without overflow.
pub(super) fn later(time: Timestamp, duration: Duration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// The waits of a container that ends as soon as it is started, and when the last is over.
    fn waits(backoff: &mut Backoff, longest: Duration) -> (Vec<u64>, i64) {
        let (mut waits, mut now) = (Vec::new(), 0);
        for _ in 0..8 {
            let wait = backoff.delay(at(now));
            waits.push(wait.as_secs());
            let finished = now;
            now += i64::try_from(wait.as_secs()).unwrap();
            backoff.advance(at(finished), at(now), longest);
        }
        (waits, now)
    }

    #[test]
    fn waits_double_to_five_minutes_and_are_forgotten_after_ten() {
        let mut backoff = Backoff::default();
        let (waits, now) = waits(&mut backoff, LONGEST);
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.delay(at(now + 599)).as_secs(), 300);
        assert_eq!(backoff.delay(at(now + 600)), Duration::ZERO);
    }

    #[test]
    fn no_wait_is_longer_than_the_node_is_told() {
        let short = |seconds| waits(&mut Backoff::default(), Duration::from_secs(seconds)).0;
        assert_eq!(short(1), [0, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(short(30), [0, 10, 20, 30, 30, 30, 30, 30]);
    }

    #[test]
    fn retries_of_steps_have_a_longest_wait() {
        assert_eq!([1, 2, 3, 6, 60].map(|n| retry_delay(n).as_secs()), [10, 20, 40, 300, 300]);
        assert_eq!([1, 2, 7, 60].map(|n| setup_delay(n).as_secs()), [1, 2, 60, 60]);
    }
}
