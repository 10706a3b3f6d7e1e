//! `/metrics`: what the server counts, under the names that Kubernetes' servers use.
//!
//! Counting takes a few relaxed atomic additions and no lock: every kind has a block of slots for its verbs, made
//! when the server starts and filled when first used.

mod authentication;
mod authorization;
mod named;
mod process;
mod render;
mod series;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::response::Response;
use jiff::Timestamp;
use wherry_api::kinds::rows;

pub(crate) use named::Family;
use named::Named;
pub(crate) use render::render;
pub(crate) use series::Labels;
use series::Table;

use crate::held::held;

/// What a server counts.
pub(crate) struct Metrics {
    requests: Table,
    /// Requests under way that read, and that write.
    in_flight: [AtomicI64; 2],
    /// Watches of each kind.
    watches: Box<[AtomicI64]>,
    /// What is counted of webhooks, policies and definitions.
    pub(crate) named: Named,
    started: Timestamp,
    pub(crate) accounts: AccountTokens,
}

/// Uses of tokens of ServiceAccounts.
#[derive(Debug, Default)]
pub(crate) struct AccountTokens {
    /// Of Secrets, all together and by how they came about; those that do not count any more.
    pub(crate) legacy: AtomicU64,
    pub(crate) automatic: AtomicU64,
    pub(crate) manual: AtomicU64,
    pub(crate) invalid: AtomicU64,
    /// Of Pods, after and before the time when another one should have been used.
    pub(crate) stale: AtomicU64,
    pub(crate) valid: AtomicU64,
}

impl Metrics {
    /// Counters at zero.
    pub(crate) fn new(started: Timestamp) -> Self {
        let watches = rows().map(|_| AtomicI64::new(0)).collect();
        Self {
            requests: Table::new(),
            in_flight: Default::default(),
            watches,
            named: Named::default(),
            started,
            accounts: AccountTokens::default(),
        }
    }

    /// Counts an answer. Requests that last as they like have no duration.
    pub(crate) fn answered(&self, labels: Labels, code: u16, duration: Option<jiff::SignedDuration>) {
        self.requests.record(labels, code, duration);
    }

    /// Counts a request as being under way until the guard is dropped.
    pub(crate) fn under_way(self: &Arc<Self>, writes: bool) -> Gauge {
        self.gauge(usize::from(writes), |metrics, at| &metrics.in_flight[at])
    }

    /// Counts a watch until the answer's body ends.
    pub(crate) fn watching(self: &Arc<Self>, labels: Labels, response: Response) -> Response {
        let Some(at) = labels.kind_index() else { return response };
        let gauge = self.gauge(at, |metrics, at| &metrics.watches[at]);
        response.map(|body| held(body, gauge))
    }

    fn gauge(self: &Arc<Self>, at: usize, of: fn(&Self, usize) -> &AtomicI64) -> Gauge {
        of(self, at).fetch_add(1, Ordering::Relaxed);
        Gauge { metrics: Arc::clone(self), at, of }
    }
}

/// Something that is counted while it lasts.
pub(crate) struct Gauge {
    metrics: Arc<Metrics>,
    at: usize,
    of: fn(&Metrics, usize) -> &AtomicI64,
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.of)(&self.metrics, self.at).fetch_sub(1, Ordering::Relaxed);
    }
}
