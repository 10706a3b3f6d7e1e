//! Events sent to a program that collects them: lists of events over HTTPS, several at a time.
//!
//! A list that is not taken is sent again, each time after a longer pause; after five attempts its events are lost,
//! which is counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::{Throttle, WebhookConfig};
use super::queue::{Item, Queue, acknowledge};
use super::{Audit, Mode, Plugin};
use crate::outbound::Endpoint;
use crate::state::State;

/// How often a list is sent at most.
const ATTEMPTS: u32 = 5;
/// How much longer each pause is than the one before.
const GROWTH: f64 = 1.5;
/// How many lists are under way at once.
const UNDER_WAY: usize = 10;
/// How long a collector may take for a list.
const PATIENCE: Duration = Duration::from_secs(30);
const START: &[u8] = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;

/// Sends events until there are no more.
pub(super) async fn run(state: &Arc<State>, audit: &Arc<Audit>, config: &WebhookConfig, queue: &Queue) {
    let Some(mut outlet) = queue.outlet() else { return };
    // What was recorded last is sent when the server has stopped otherwise.
    let end = CancellationToken::new();
    let _end = end.clone().drop_guard();
    let sender = Arc::new(Sender {
        state: Arc::clone(state),
        audit: Arc::clone(audit),
        endpoint: config.receiver.endpoint().until(end.clone()),
        backoff: config.initial_backoff,
    });
    let throttle = config.delivery.throttle.filter(|_| config.delivery.mode == Mode::Batch);
    let mut bucket = throttle.map(|throttle| Bucket::new(throttle, Instant::now()));
    let mut under_way = JoinSet::new();
    while let Some(batch) = outlet.next(&audit.closing).await {
        while under_way.len() >= UNDER_WAY {
            under_way.join_next().await;
        }
        while under_way.try_join_next().is_some() {}
        if let Some(pause) = bucket.as_mut().map(|bucket| bucket.take(Instant::now())) {
            tokio::time::sleep(pause).await;
        }
        let sender = Arc::clone(&sender);
        under_way.spawn(async move { sender.deliver(batch).await });
    }
    while under_way.join_next().await.is_some() {}
}

struct Sender {
    state: Arc<State>,
    audit: Arc<Audit>,
    endpoint: Endpoint,
    backoff: Duration,
}

impl Sender {
    /// Sends a list until it is taken or nobody believes any more that it will be.
    async fn deliver(&self, batch: Vec<Item>) {
        let list = list(&batch);
        let mut pause = self.backoff;
        for attempt in 1..=ATTEMPTS {
            match self.endpoint.post(&self.state, list.clone(), PATIENCE).await {
                Ok(_) => return acknowledge(batch, true),
                Err(error) => tracing::warn!(%error, attempt, "audit events are not taken"),
            }
            // When the server ends nobody waits any longer.
            let ending = attempt == ATTEMPTS || self.audit.closing.is_cancelled();
            if ending {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.audit.closing.cancelled() => {}
            }
            pause = pause.mul_f64(GROWTH);
        }
        tracing::error!(events = batch.len(), "audit events are lost");
        self.audit.counts.lost(Plugin::Webhook, batch.len());
        acknowledge(batch, false);
    }
}

/// Events as an `EventList`.
fn list(batch: &[Item]) -> Bytes {
    let mut list = START.to_vec();
    for (at, item) in batch.iter().enumerate() {
        if at > 0 {
            list.push(b',');
        }
        list.extend_from_slice(&item.event);
    }
    list.extend_from_slice(b"]}");
    list.into()
}

/// Says how long to wait so that there are never too many lists a second.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(throttle: Throttle, now: Instant) -> Self {
        let burst = f64::from(throttle.burst.max(1));
        Self { rate: throttle.qps.max(f64::MIN_POSITIVE), burst, tokens: burst, filled: now }
    }

    /// How long the next list has to wait.
    fn take(&mut self, now: Instant) -> Duration {
        let grown = (now - self.filled).as_secs_f64() * self.rate;
        (self.tokens, self.filled) = ((self.tokens + grown).min(self.burst) - 1.0, now);
        Duration::try_from_secs_f64((-self.tokens / self.rate).max(0.0)).unwrap_or(PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_lists_wait_for_their_turn() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Throttle { qps: 10.0, burst: 2 }, start);
        let waits = [(); 4].map(|()| bucket.take(start).as_millis());
        assert_eq!(waits, [0, 0, 100, 200]);
        assert_eq!(bucket.take(start + Duration::from_secs(1)), Duration::ZERO);
    }
}
