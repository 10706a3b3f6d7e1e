//! Waiting for conditions that no event announces to a test.

use std::time::{Duration, Instant};

/// How long a test waits before it fails.
pub const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until the condition gives a value; panics with what was waited for and what was seen last.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, look).unwrap_or_else(|last| panic!("waited {PATIENCE:?} for {what}; last seen: {last}"))
}

/// Looks until the condition gives a value, or for so long; then answers what was seen last.
pub fn within<T, E>(patience: Duration, mut look: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let began = now();
    loop {
        match look() {
            Err(_) if began.elapsed() < patience => pause(),
            seen => return seen,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a look takes is part of how long a test waits")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one pause between two looks of a test at a condition")]
fn pause() {
    std::thread::sleep(PAUSE);
}
