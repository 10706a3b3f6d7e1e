//! What the proxy counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;

/// See the module.
#[derive(Debug, Default)]
pub struct Metrics {
    routes: Mutex<BTreeMap<Arc<str>, BTreeMap<u16, RouteTally>>>,
    retries: AtomicU64,
    ejections: AtomicU64,
    connections: AtomicU64,
}

/// The requests of a rule that were answered with one status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTally {
    /// How many.
    pub requests: u64,
    /// How long they took together, to the end of their answers.
    pub time: Duration,
}

impl Metrics {
    /// The requests so far, by the name of their rule (none for those that met no rule) and the status of the answer.
    pub fn routes(&self) -> Vec<(Arc<str>, u16, RouteTally)> {
        let routes = self.routes.lock();
        let flat = |(name, tallies): (&Arc<str>, &BTreeMap<u16, RouteTally>)| {
            tallies.iter().map(|(status, tally)| (name.clone(), *status, *tally)).collect::<Vec<_>>()
        };
        routes.iter().flat_map(flat).collect()
    }

    /// How often a request was tried once more.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// How often an endpoint that was well began to be passed over.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Connections of clients so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Forgets rules that are no more.
    pub(crate) fn keep(&self, wanted: impl Fn(&str) -> bool) {
        self.routes.lock().retain(|name, _| name.is_empty() || wanted(name));
    }

    pub(crate) fn request(&self, rule: Option<&Arc<str>>, status: StatusCode, time: Duration) {
        let mut routes = self.routes.lock();
        let known = match rule {
            Some(name) => match routes.get_mut(name) {
                Some(known) => known,
                None => routes.entry(name.clone()).or_default(),
            },
            None => routes.entry(Arc::from("")).or_default(),
        };
        let tally = known.entry(status.as_u16()).or_default();
        tally.requests += 1;
        tally.time += time;
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ejected(&self) {
        self.ejections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
}
