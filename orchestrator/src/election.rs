//! Leader election by Lease: of several control planes over one API, one runs the loops of a role.
//!
//! ```text
//!   (candidate) --- the Lease is nobody's, or was not renewed for its duration ---> (leader)
//!        ^                                                                             |
//!        +--- not renewed within the deadline, or somebody else has it: loops end -----+
//!                                                                                      |
//!                                       (gone) <--- told to stop: loops end, released --+
//! ```
//!
//! Guarantees: whoever leads ends its loops when it could not renew for the deadline, which is shorter than what the
//! others wait; how long they wait they measure by their own clocks, from when they saw the Lease change. Times in the
//! Lease are for people. The loops have ended before their control plane is a candidate again.
//!
//! Assumptions: clocks run at about the same rate; what they show may differ.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wherry_api::clock::Clock;

/// Where the Leases are.
const NAMESPACE: &str = "kube-system";

/// How leaders are elected, under the names of upstream's flags `--leader-elect-…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderElection {
    /// How long others wait for a leader that does not renew.
    pub lease_duration: Duration,
    /// How long a leader goes on without having renewed.
    pub renew_deadline: Duration,
    /// How long to wait between two tries.
    pub retry_period: Duration,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Who would lead.
pub(crate) struct Candidate {
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    /// The role, which is the name of its Lease.
    pub(crate) role: &'static str,
    /// Who this is, unlike everybody else.
    pub(crate) identity: String,
    pub(crate) timing: LeaderElection,
}

/// The Lease as it was last seen, and since when it is so.
#[derive(Default)]
struct Seen(Option<(Lease, Instant)>);

impl Seen {
    fn spec(&self) -> Option<&LeaseSpec> {
        self.0.as_ref().and_then(|(lease, _)| lease.spec.as_ref())
    }

    fn holder(&self) -> &str {
        self.spec().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
    }

    /// Takes over what was read or written; what did not change was seen before.
    fn observe(&mut self, lease: Lease, now: Instant) {
        let since = match &self.0 {
            Some((before, since)) if before.spec == lease.spec => *since,
            _ => now,
        };
        self.0 = Some((lease, since));
    }

    /// Whether its holder may still lead.
    fn is_valid(&self, now: Instant) -> bool {
        let Some((lease, since)) = &self.0 else { return false };
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        now < *since + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }
}

impl Candidate {
    /// Runs the loops whenever this is the leader, until `stop`. Loops that end by themselves end the candidacy, too.
    pub(crate) async fn run<F: Future<Output = ()>>(
        self,
        stop: CancellationToken,
        loops: impl Fn(CancellationToken) -> F,
    ) {
        let mut seen = Seen::default();
        loop {
            if stop.run_until_cancelled(self.acquire(&mut seen)).await.is_none() {
                return;
            }
            info!(role = self.role, identity = self.identity, "became leader");
            self.tell("became leader").await;
            let term = stop.child_token();
            let is_held = self.lead(&mut seen, (&stop, &term), loops(term.clone())).await;
            info!(role = self.role, identity = self.identity, "stopped leading");
            if is_held {
                self.release(&mut seen).await;
                self.tell("stopped leading").await;
                return;
            }
        }
    }

    /// Waits until the Lease is ours.
    async fn acquire(&self, seen: &mut Seen) {
        while !self.attempt(seen).await {
            tokio::time::sleep(self.timing.retry_period).await;
        }
    }

    /// Runs the loops while the Lease is renewed; answers, when they have ended, whether it is ours still.
    async fn lead(
        &self,
        seen: &mut Seen,
        (stop, term): (&CancellationToken, &CancellationToken),
        loops: impl Future<Output = ()>,
    ) -> bool {
        let (mut loops, mut renewing) = (std::pin::pin!(loops), std::pin::pin!(self.renew(seen)));
        let mut is_held = true;
        loop {
            tokio::select! {
                biased;
                () = &mut renewing, if is_held => {
                    warn!(role = self.role, "the lease is lost, the loops end");
                    is_held = false;
                    term.cancel();
                }
                () = stop.cancelled(), if !term.is_cancelled() => term.cancel(),
                () = &mut loops => return is_held,
            }
        }
    }

    /// Renews the Lease; returns when it is lost.
    async fn renew(&self, seen: &mut Seen) {
        let mut renewed = Instant::now();
        loop {
            let deadline = renewed + self.timing.renew_deadline;
            tokio::time::sleep_until(deadline.min(Instant::now() + self.timing.retry_period)).await;
            let began = Instant::now();
            match tokio::time::timeout_at(deadline, self.attempt(seen)).await {
                Ok(true) => renewed = began,
                Ok(false) if seen.holder() == self.identity && Instant::now() < deadline => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Tries once to take or to renew the Lease; answers whether that succeeded.
    async fn attempt(&self, seen: &mut Seen) -> bool {
        let tried = self.try_attempt(seen).await;
        tried.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            debug!(role = self.role, error, "the lease could not be taken or renewed");
            false
        })
    }

    async fn try_attempt(&self, seen: &mut Seen) -> Result<bool, kube::Error> {
        let api = self.api();
        let Some(found) = api.get_opt(self.role).await? else {
            let metadata = ObjectMeta { name: Some(self.role.to_owned()), ..ObjectMeta::default() };
            let spec = Some(self.held(None));
            let made = api.create(&PostParams::default(), &Lease { metadata, spec }).await;
            return Self::noted(made, seen);
        };
        seen.observe(found.clone(), Instant::now());
        let is_others = !seen.holder().is_empty() && seen.holder() != self.identity;
        if is_others && seen.is_valid(Instant::now()) {
            return Ok(false);
        }
        let spec = Some(self.held(found.spec.as_ref()));
        let wanted = Lease { spec, ..found };
        Self::noted(api.replace(self.role, &PostParams::default(), &wanted).await, seen)
    }

    /// What became of a write: somebody else may have been faster.
    fn noted(written: Result<Lease, kube::Error>, seen: &mut Seen) -> Result<bool, kube::Error> {
        match written {
            Ok(lease) => {
                seen.observe(lease, Instant::now());
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The Lease in our hands.
    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = self.clock.now();
        let is_ours = before.is_some_and(|spec| spec.holder_identity.as_ref() == Some(&self.identity));
        let transitions = before.map(|spec| spec.lease_transitions.unwrap_or(0) + i32::from(!is_ours));
        let acquired = before.filter(|_| is_ours).and_then(|spec| spec.acquire_time.clone());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.lease_duration.as_secs()).ok(),
            acquire_time: Some(acquired.unwrap_or(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions.unwrap_or(0)),
            ..before.cloned().unwrap_or_default()
        }
    }

    /// Gives the Lease up, so that nobody has to wait. What fails lapses by itself.
    async fn release(&self, seen: &mut Seen) {
        let Some((lease, _)) = seen.0.take().filter(|(lease, _)| is_held_by(lease, &self.identity)) else {
            return;
        };
        let now = self.clock.now();
        let spec = lease.spec.clone().map(|spec| LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            ..spec
        });
        let released = self.api().replace(self.role, &PostParams::default(), &Lease { spec, ..lease }).await;
        if let Err(error) = released {
            warn!(role = self.role, error = &error as &dyn std::error::Error, "the lease was not released");
        }
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Tells of the change in an event, once and as well as it goes.
    async fn tell(&self, what: &str) {
        let event = event(self.role, format!("{} {what}", self.identity), self.clock.now());
        let api = Api::<Event>::namespaced(self.client.clone(), NAMESPACE);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            debug!(
                event = event.name_any(),
                error = &error as &dyn std::error::Error,
                "an event was not written"
            );
        }
    }
}

fn is_held_by(lease: &Lease, identity: &str) -> bool {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(identity)
}

fn event(role: &'static str, message: String, now: Timestamp) -> Event {
    let name = format!("{role}.{:x}", now.as_nanosecond());
    let namespace = Some(NAMESPACE.to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: namespace.clone(), ..ObjectMeta::default() },
        involved_object: ObjectReference {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            name: Some(role.to_owned()),
            namespace,
            ..ObjectReference::default()
        },
        reason: Some("LeaderElection".to_owned()),
        message: Some(message),
        source: Some(EventSource { component: Some(role.to_owned()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        type_: Some("Normal".to_owned()),
        reporting_component: Some(role.to_owned()),
        reporting_instance: Some(String::new()),
        ..Event::default()
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
