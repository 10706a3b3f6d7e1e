//! The audit log: who did what, when, and how it was answered.
//!
//! ```text
//! request -> policy: how much of it is recorded -> trail: its events, stage by stage
//!   -> queue: bounded, one for each place events go to -> log (a file that is rotated) | webhook (batches over HTTPS)
//! ```
//!
//! Guarantees: a server without a policy does nothing of this. One task for each place writes; in `blocking` mode an
//! answer waits until its event is written, in `batch` mode nothing waits, and what the queue has no room for is
//! dropped and counted. Headers of requests are not recorded but for the user agent and the addresses of proxies; what
//! Secrets hold and tokens are recorded at no level.
//!
//! Reading order: `policy`, `trail` (the life of one request), `redact` (what is secret), `event` (how it is written),
//! `queue`, `log`, `webhook`.

mod config;
mod event;
mod file;
mod log;
mod policy;
mod queue;
mod redact;
mod source;
#[cfg(test)]
mod tests;
mod trail;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;
use wherry_api::clock::Clock;

pub use config::{AuditConfig, Delivery, LogConfig, LogTarget, Mode, Throttle, WebhookConfig};
pub(crate) use policy::{Level, Stage};
pub use policy::{Policy, PolicyError};
use queue::Queue;
use queue::Stored;
pub(crate) use trail::{Asked, Unfinished};

pub use crate::outbound::kubeconfig::{Receiver, ReceiverError};
use crate::state::State;

/// What is counted about events.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: AtomicU64,
    /// Requests by the level they are recorded at.
    pub(crate) levels: [AtomicU64; Level::ALL.len()],
    /// Events that were lost, by [`Plugin`].
    pub(crate) errors: [AtomicU64; Plugin::NAMES.len()],
    /// Requests that were refused because they could not be recorded.
    pub(crate) rejected: AtomicU64,
}

/// Where events are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// In a queue that is full.
    Buffered,
    /// On the way to the file.
    Log,
    /// On the way to the program that collects them.
    Webhook,
}

impl Plugin {
    /// The names under which losses are counted.
    pub(crate) const NAMES: [&'static str; 3] = ["buffered", "log", "webhook"];
}

impl Counts {
    /// Counts events as lost.
    fn lost(&self, plugin: Plugin, count: usize) {
        self.errors[plugin as usize].fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// What records requests.
pub(crate) struct Audit {
    policy: Policy,
    clock: Arc<dyn Clock>,
    pub(crate) counts: Arc<Counts>,
    log: Option<(LogConfig, Queue)>,
    webhook: Option<(WebhookConfig, Queue)>,
    /// Cancelled when nothing more will be recorded.
    closing: CancellationToken,
}

impl Audit {
    pub(crate) fn new(config: AuditConfig, clock: Arc<dyn Clock>) -> Self {
        let counts = Arc::new(Counts::default());
        let log = config.log.map(|log| {
            let queue = Queue::new(&log.delivery, Plugin::Log, &counts);
            (log, queue)
        });
        let webhook = config.webhook.map(|webhook| {
            let queue = Queue::new(&webhook.delivery, Plugin::Webhook, &counts);
            (webhook, queue)
        });
        Self { policy: config.policy, clock, counts, log, webhook, closing: CancellationToken::new() }
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        let log = self.log.iter().map(|(_, queue)| queue);
        log.chain(self.webhook.iter().map(|(_, queue)| queue))
    }

    /// Hands an event over to all who write it; whether the request may go on.
    async fn store(&self, stage: Stage, event: &bytes::Bytes) -> bool {
        let mut stored = true;
        for queue in self.queues() {
            stored &= queue.put(stage, event.clone()).await == Stored::Yes;
        }
        stored
    }

    /// The same, for who cannot wait.
    fn store_soon(&self, event: &bytes::Bytes) {
        for queue in self.queues() {
            queue.put_soon(event.clone());
        }
    }

    /// Says that nothing more will be recorded: those who write end once they have written what is there.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

/// Writes what is recorded until the server is closed.
pub(crate) async fn run(state: Arc<State>) {
    let Some(audit) = &state.audit else { return };
    let log = async {
        if let Some((config, queue)) = &audit.log {
            log::run(audit, config, queue).await;
        }
    };
    let webhook = async {
        if let Some((config, queue)) = &audit.webhook {
            webhook::run(&state, audit, config, queue).await;
        }
    };
    tokio::join!(log, webhook);
}
