//! The time of a simulation: the runtime's paused time, counted from a fixed date.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use wherry_api::clock::Clock;

/// When every simulation begins: 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimClock {
    start: Instant,
}

impl SimClock {
    /// A clock that begins now. To be called in the simulation's runtime.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// How long the simulation has run.
    pub(crate) fn elapsed(&self) -> SignedDuration {
        SignedDuration::try_from(self.start.elapsed()).unwrap_or(SignedDuration::MAX)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(BEGINNING)
            .unwrap_or_default()
            .saturating_add(self.elapsed())
            .unwrap_or_default()
    }
}
