//! A request's way to an endpoint and back.
//!
//! - An endpoint that takes no connection is passed over for the next one, whatever the request: nothing of it went.
//! - A connection that served before may be closed when the request comes: it goes once more, on a new one, unless something of
//!   it went and it is not idempotent, or its body is gone.
//! - An idempotent request without a body whose endpoint dies before it answers goes to the next one.
//! - Endpoints take turns; those that could not be reached of late come last.

mod attempt;
mod record;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Backend;
use crate::body::{self, Body, Timed};
use crate::check::{check, wants_upgrade};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::pools::{Endpoint, Pools};
use crate::rule::Action;
use crate::site::Site;
use crate::{answer, headers, tunnel};
use attempt::{Answered, Failure, Outgoing};
use record::{Exchange, Record};

/// Counters of turns; backends share them by their numbers.
const TURNS: usize = 64;

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
    turns: [AtomicUsize; TURNS],
    tunnels: TaskTracker,
    stop: CancellationToken,
}

impl Proxy {
    /// A proxy with these limits.
    pub fn new(limits: Limits) -> Self {
        let limits = Arc::new(limits);
        Self {
            metrics: Arc::default(),
            pools: Pools::new(limits.clone()),
            limits,
            turns: [const { AtomicUsize::new(0) }; TURNS],
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
        &self,
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
        record.meets(rule, host);
        match &rule.action {
            Action::Answer(status) => {
                let text = status.canonical_reason().unwrap_or_default();
                record.done(answer::plain(*status, text))
            }
            Action::Forward(backends) => {
                let Some(backend) = self.pick(&rule.name, backends) else {
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    return record.done(answer::plain(status, "no backend takes requests of this rule"));
                };
                self.forward(backend, client, Request::from_parts(head, body), record).await
            }
        }
    }

    async fn forward(
        &self,
        backend: &Backend,
        client: Client,
        request: Request<Incoming>,
        mut record: Record,
    ) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let upgrade = wants_upgrade(&head);
        let upgraded = upgrade.then(|| head.extensions.remove::<OnUpgrade>()).flatten();
        let authority = head.uri.authority().and_then(|named| HeaderValue::from_str(named.as_str()).ok());
        let Some(host) = authority.or_else(|| head.headers.get(HOST).cloned()) else {
            return record.done(answer::plain(StatusCode::BAD_REQUEST, "the request names no host"));
        };
        headers::forward(&mut head.headers, &host, &client, upgrade);
        let outgoing = Outgoing::new(head, body, self.limits.stalled);
        match self.ask(backend, outgoing).await {
            Ok(answered) => {
                record.went_to(answered.endpoint);
                self.relay(answered, upgraded, record)
            }
            Err(failure) => {
                let (backend, cause) = (&*backend.name, &failure as &dyn std::error::Error);
                tracing::debug!(backend, error = cause, "a request was not answered");
                record.done(answer::plain(failure.status(), &failure.to_string()))
            }
        }
    }

    /// Passes an answer on.
    fn relay(&self, answered: Answered, upgraded: Option<OnUpgrade>, record: Record) -> Response<Body> {
        let Answered { mut response, lease, .. } = answered;
        *response.version_mut() = Version::HTTP_11;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let endpoint = response.extensions_mut().remove::<OnUpgrade>();
            let Some((client, endpoint)) = upgraded.zip(endpoint) else {
                let text = "the endpoint changed to a protocol that nobody asked for";
                return record.done(answer::plain(StatusCode::BAD_GATEWAY, text));
            };
            let stop = self.stop.clone();
            self.tunnels.spawn(async move { stop.run_until_cancelled(tunnel::join(client, endpoint)).await });
            let protocol = response.headers().get(UPGRADE).cloned();
            headers::back(response.headers_mut());
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            protocol.and_then(|protocol| response.headers_mut().insert(UPGRADE, protocol));
            return record.done(response.map(|_| body::empty()));
        }
        headers::back(response.headers_mut());
        let exchange = Exchange::new(lease, record.answered(response.status()));
        let stalled = self.limits.stalled;
        response.map(|body| Body::new(Timed::new(body, exchange, stalled)))
    }

    /// The backend whose turn it is; none if no weight says so.
    fn pick<'b>(&self, rule: &str, backends: &'b [(u32, Arc<Backend>)]) -> Option<&'b Backend> {
        if let [(1.., only)] = backends {
            return Some(only);
        }
        let total: u64 = backends.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = (self.turn(number_of(rule)) as u64).checked_rem(total)?;
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
        let start = self.turn(backend.number()).checked_rem(count).unwrap_or_default();
        let (ejected, well): (Vec<_>, Vec<_>) = (0..count)
            .map(|at| self.pools.endpoint(backend.endpoints[(start + at) % count], backend.protocol))
            .partition(|endpoint| endpoint.health.is_ejected());
        well.into_iter().chain(ejected).take(self.limits.tries).collect()
    }

    fn turn(&self, number: u64) -> usize {
        // A number below 64 fits.
        let counter = usize::try_from(number % TURNS as u64).unwrap_or_default();
        self.turns[counter].fetch_add(1, Ordering::Relaxed)
    }

    async fn ask(&self, backend: &Backend, mut outgoing: Outgoing) -> Result<Answered, Failure> {
        let mut failure = Failure::Nobody;
        for (at, endpoint) in self.order(backend).into_iter().enumerate() {
            if at > 0 {
                self.metrics.retried();
            }
            match outgoing.try_at(&endpoint, &self.limits).await {
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
