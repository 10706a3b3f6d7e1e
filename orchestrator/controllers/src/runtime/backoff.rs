//! How long to wait before trying again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A seeded source of jitter (splitmix64): the same seed gives the same delays.
#[derive(Debug)]
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next fraction in `[0, 1)`, in steps of 1/65536.
    pub(crate) fn fraction(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u16::try_from((z ^ (z >> 31)) >> 48).unwrap_or(u16::MAX);
        f64::from(top) / 65_536.0
    }
}

/// The range of delays of one kind of retry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row (the first failure is 1): doubled each time up to the
    /// longest, then spread by ±25 %.
    pub(crate) fn delay(self, failures: u32, jitter: &Jitter) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let delay = self.first.saturating_mul(1 << doublings).min(self.longest);
        delay.mul_f64(0.75 + jitter.fraction() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_within_a_quarter() {
        let backoff = Backoff { first: Duration::from_millis(8), longest: Duration::from_millis(100) };
        let jitter = Jitter::new(7);
        for (failures, nominal) in [(1, 8.0), (2, 16.0), (3, 32.0), (5, 100.0), (u32::MAX, 100.0)] {
            let delay = backoff.delay(failures, &jitter).as_secs_f64() * 1000.0;
            assert!((nominal * 0.75..nominal * 1.25).contains(&delay), "{failures}: {delay}");
        }
    }

    #[test]
    fn the_seed_decides_the_jitter() {
        let (a, b, c) = (Jitter::new(1), Jitter::new(1), Jitter::new(2));
        let draw = |jitter: &Jitter| (0..8).map(|_| jitter.fraction().to_bits()).collect::<Vec<_>>();
        let first = draw(&a);
        assert_eq!(first, draw(&b));
        assert_ne!(first, draw(&c));
    }
}
