//! Where requests to guests of this process lead, so that no connection is needed for them: of other guests, and of whoever else is in it.
//!
//! Guarantees: an endpoint is one that the data plane would lead to at this moment. Where a network policy has a say about either end,
//! the network decides; so it does while policies are not known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wherry_wasm_runtime::{Listening, Path, Paths};

use crate::policies::Judged;
use crate::services::Leads;

/// The paths of this node's guests; clones are the same.
#[derive(Clone)]
pub(crate) struct InProcess {
    /// Where Services lead.
    pub(crate) leads: Leads,
    /// The servers.
    pub(crate) listening: Listening,
    judged: Judged,
    requests: Arc<AtomicU64>,
}

impl InProcess {
    /// No Service is known yet.
    pub(crate) fn new(judged: Judged) -> Self {
        Self { leads: Leads::default(), listening: Listening::default(), judged, requests: Arc::default() }
    }

    /// How many requests were handed over.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Paths for InProcess {
    fn lead(&self, from: IpAddr, to: SocketAddr) -> Option<Path> {
        let endpoint = self.leads.endpoint(from, to).unwrap_or(to);
        Some(Path { endpoint, judged: self.judged.connection(from, endpoint.ip()) })
    }

    fn rules(&self) -> u64 {
        self.judged.changes()
    }

    fn handed_over(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}
