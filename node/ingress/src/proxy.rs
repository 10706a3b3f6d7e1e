//! A request's way to an endpoint and back.
//!
//! - An endpoint that takes no connection is passed over for the next one, whatever the request: nothing of it went.
//! - A connection that served before may be closed when the request comes: it goes once more, on a new one, unless something of
//!   it went and it is not idempotent, or its body is gone.
//! - An idempotent request without a body whose endpoint dies before it answers goes to the next one.
//! - Endpoints take turns; those that could not be reached of late come last.

mod attempt;
mod forward;
mod record;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer;
use crate::backend::Backend;
use crate::body::Body;
use crate::check::check;
use crate::filters::spread;
use crate::inside::{Inside, Nobody};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::pools::{Endpoint, Pools};
use crate::rule::Action;
use crate::site::Site;
use attempt::{Answered, Failure, Outgoing};
use record::Record;

/// Counters of turns; backends share them by their numbers.
const TURNS: usize = 64;

/// What takes turns. They are counted apart: one choice must not decide the next one.
#[derive(Clone, Copy)]
enum Turn {
    Backend,
    Endpoint,
    Mirror,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// The port it came to.
    pub(crate) port: u16,
    pub(crate) is_secure: bool,
}

impl Client {
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}

/// Answers requests by what endpoints answer.
pub struct Proxy {
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    pools: Pools,
    turns: [[AtomicU64; TURNS]; 3],
    tunnels: TaskTracker,
    /// A place for each copy of a request that may be under way.
    mirrored: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Proxy {
    /// A proxy with these limits. All endpoints are elsewhere.
    pub fn new(limits: Limits) -> Self {
        Self::beside(limits, Arc::new(Nobody))
    }

    /// A proxy that needs no connections to endpoints that are servers of its own process.
    pub fn beside(limits: Limits, inside: Arc<dyn Inside>) -> Self {
        let limits = Arc::new(limits);
        Self {
            metrics: Arc::default(),
            pools: Pools::new(limits.clone(), inside),
            mirrored: Arc::new(Semaphore::new(limits.mirrored)),
            limits,
            turns: [const { [const { AtomicU64::new(0) }; TURNS] }; 3],
            tunnels: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// What it counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Forgets endpoints and rules that these sites do not name. Requests that are under way go on.
    pub fn keep(&self, sites: &[&Site]) {
        self.pools.keep(&sites.iter().flat_map(|site| site.endpoints()).collect());
        let rules = || sites.iter().flat_map(|site| site.table.rules());
        let names: std::collections::HashSet<&str> = rules().map(|rule| &*rule.name).collect();
        self.metrics.keep(|name| names.contains(name));
    }

    /// Ends what is still under way; nobody may ask any more.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tunnels.close();
        self.tunnels.wait().await;
        self.pools.close().await;
    }

    /// Answers a request that came to this site.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        site: &Site,
        client: Client,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let mut record = Record::new(self.metrics.clone(), client.address, &request);
        let (head, body) = request.into_parts();
        let host = match check(&head) {
            Ok(host) => host,
            Err(refusal) => return record.done(answer::plain(StatusCode::BAD_REQUEST, &refusal.to_string())),
        };
        let Some(rule) = site.table.find(&host, &head) else {
            return record.done(answer::plain(StatusCode::NOT_FOUND, "no rule is about this host and path"));
        };
        record.meets(rule, host.clone());
        match &rule.action {
            Action::Answer(status) => {
                let text = status.canonical_reason().unwrap_or_default();
                record.done(answer::plain(*status, text))
            }
            Action::Redirect(redirect) => {
                record.done(answer::elsewhere(redirect, &rule.path, &head, (client.scheme(), &host)))
            }
            Action::Forward(forward) => {
                self.forward((rule, forward), client, Request::from_parts(head, body), record).await
            }
        }
    }

    /// The backend whose turn it is; none if no weight says so.
    fn pick<'b>(&self, rule: &str, backends: &'b [(u32, Arc<Backend>)]) -> Option<&'b Backend> {
        if let [(1.., only)] = backends {
            return Some(only);
        }
        let total: u64 = backends.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = spread(self.turn(Turn::Backend, number_of(rule)), total)?;
        let chosen = backends.iter().find(|(weight, _)| {
            let is_it = at < u64::from(*weight);
            at = at.saturating_sub(u64::from(*weight));
            is_it
        });
        chosen.map(|(_, backend)| &**backend)
    }

    /// The endpoints of the backend in the order in which they are tried.
    fn order(&self, backend: &Backend) -> Vec<Arc<Endpoint>> {
        let count = backend.endpoints.len();
        let turn = usize::try_from(self.turn(Turn::Endpoint, backend.number())).unwrap_or_default();
        let start = turn.checked_rem(count).unwrap_or_default();
        let (ejected, well): (Vec<_>, Vec<_>) = (0..count)
            .map(|at| self.pools.endpoint(backend.endpoints[(start + at) % count], backend.protocol))
            .partition(|endpoint| endpoint.health.is_ejected());
        well.into_iter().chain(ejected).take(self.limits.tries).collect()
    }

    fn turn(&self, of: Turn, number: u64) -> u64 {
        // A number below 64 fits.
        let counter = usize::try_from(number % TURNS as u64).unwrap_or_default();
        self.turns[of as usize][counter].fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the endpoints of a backend, one after the other, each of which has this time to begin its answer.
    async fn ask(
        &self,
        backend: &Backend,
        mut outgoing: Outgoing,
        answer_time: Duration,
    ) -> Result<Answered, Failure> {
        let mut failure = Failure::Nobody(backend.nowhere);
        for (at, endpoint) in self.order(backend).into_iter().enumerate() {
            if at > 0 {
                self.metrics.retried();
            }
            match outgoing.try_at(&endpoint, answer_time).await {
                Ok(answered) => {
                    endpoint.health.answered();
                    return Ok(answered);
                }
                Err(failed) => {
                    if failed.is_of_endpoint() && endpoint.health.failed() {
                        let (endpoint, cause) = (endpoint.address, &failed as &dyn std::error::Error);
                        tracing::info!(%endpoint, error = cause, "an endpoint is passed over for a while");
                        self.metrics.ejected();
                    }
                    failure = failed;
                }
            }
            if !outgoing.can_go_again() || !failure.allows_another() {
                break;
            }
        }
        Err(failure)
    }
}

fn number_of(name: &str) -> u64 {
    use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}
