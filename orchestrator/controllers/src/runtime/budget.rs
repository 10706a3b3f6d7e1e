//! One budget of requests for all controllers together: a loop gone wild wears itself out and not the API.
//!
//! The budget is generous: bursts go through as they come, and only what repeats itself without end has to wait.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How many requests there may be.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// On average, in each second.
    pub per_second: u32,
    /// At once, after a rest.
    pub burst: u32,
}

/// The client with a budget.
pub(crate) fn limited(client: Client, budget: Budget) -> Client {
    let bucket = Arc::new(Bucket { budget, spent_until: Mutex::new(None) });
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, wait) = (client.clone(), bucket.spend(Instant::now()));
        async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            client.send(request).await
        }
    });
    Client::new(service, "default")
}

/// Remembers until when what was spent is earned again.
struct Bucket {
    budget: Budget,
    spent_until: Mutex<Option<Instant>>,
}

impl Bucket {
    /// Spends one request; returns how long it has to wait.
    fn spend(&self, now: Instant) -> Duration {
        let cost = Duration::from_secs(1) / self.budget.per_second.max(1);
        let mut spent_until = self.spent_until.lock();
        let until = spent_until.map_or(now, |until| until.max(now)) + cost;
        *spent_until = Some(until);
        until.duration_since(now).saturating_sub(cost * self.budget.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_through_and_then_requests_wait_their_turn() {
        let bucket = Bucket { budget: Budget { per_second: 10, burst: 3 }, spent_until: Mutex::new(None) };
        let mut waits: Vec<_> = (0..5).map(|_| bucket.spend(Instant::now()).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        tokio::time::advance(Duration::from_millis(500)).await;
        waits = (0..4).map(|_| bucket.spend(Instant::now()).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100], "a rest fills the budget, and no more than the budget");
    }
}
