//! Whether an endpoint is passed over: for a while after it could not be reached, longer each time it is tried in vain.
//!
//! What an endpoint answers is its own matter: an answer of status 500 is one.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Option<Ejected>>);

#[derive(Debug)]
struct Ejected {
    until: Instant,
    /// How long it is passed over when it is tried in vain once more.
    next: Duration,
}

impl Health {
    /// Whether others are tried first.
    pub(crate) fn is_ejected(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|ejected| Instant::now() < ejected.until)
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        *self.0.lock() = None;
    }

    /// It did not; answers whether it was well until now.
    pub(crate) fn failed(&self) -> bool {
        let (mut known, now) = (self.0.lock(), Instant::now());
        match &mut *known {
            // Requests that were on their way together fail together.
            Some(ejected) if now < ejected.until => false,
            Some(ejected) => {
                ejected.until = now + ejected.next;
                ejected.next = (ejected.next * 2).min(LONGEST);
                false
            }
            None => {
                *known = Some(Ejected { until: now + FIRST, next: FIRST * 2 });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_passed_over_longer_each_time() {
        let health = Health::default();
        assert!(!health.is_ejected() && health.failed() && health.is_ejected());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert!(!health.failed(), "those that fail together count once");
            tokio::time::sleep(Duration::from_millis(seconds * 1000 - 1)).await;
            assert!(health.is_ejected(), "{seconds}");
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!health.is_ejected(), "{seconds}");
            assert!(!health.failed());
        }
        health.answered();
        assert!(!health.is_ejected() && health.failed());
    }
}
