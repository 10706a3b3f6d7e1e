//! Where all that is made up comes from: streams of random numbers, one for each part, all from one seed.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// A stream of random choices; clones draw from the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// The stream of a part, so that one part drawing more changes nothing for the others.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part))))
    }

    /// A number of a range.
    pub(crate) fn between(&self, range: RangeInclusive<u64>) -> u64 {
        self.0.lock().random_range(range)
    }

    /// Whether something happens that happens this often in a thousand times.
    pub(crate) fn per_mille(&self, often: u64) -> bool {
        self.between(0..=999) < often
    }

    /// A time of at most this many milliseconds.
    pub(crate) fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&self, choices: &'a [T]) -> Option<&'a T> {
        choices.choose(&mut *self.0.lock())
    }
}
