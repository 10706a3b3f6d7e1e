//! Waiting for conditions that no event announces to a test.

use std::time::{Duration, Instant};

/// How long a test waits before it fails.
pub const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until the condition gives a value; panics with what was waited for and what was seen last.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    let began = now();
    while began.elapsed() < PATIENCE {
        match look() {
            Ok(value) => return value,
            Err(seen) => last = seen,
        }
        pause();
    }
    panic!("waited {PATIENCE:?} for {what}; last seen: {last}");
}

#[expect(clippy::disallowed_methods, reason = "how long a look takes is part of how long a test waits")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one pause between two looks of a test at a condition")]
fn pause() {
    std::thread::sleep(PAUSE);
}
