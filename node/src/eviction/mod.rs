//! Ends Pods when the node is short of memory, disk or process ids, as upstream does.
//!
//! # Flow
//! ```text
//! every 10 s: supplies -> pressure (conditions of the Node) -> short for long enough?
//!   -> what ended goes, and images that nothing uses -> still short? -> the first Pod by rank ends -> look again once it has
//! ```
//!
//! # Guarantees
//! - One Pod at a time, and the next only when the first has stopped, or does not within 30 s.
//! - Critical Pods are never ended.
//!
//! # Caveats
//! - Pods are ranked by bytes where inodes are short.

mod message;
mod orders;
mod pressure;
mod rank;
mod settings;
mod supplies;
mod thresholds;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wherry_runtime_api::disk::DiskUsage;

use crate::containers::Running;
use crate::context::{Context, chain};
use crate::events::{Happening, Severity};
use crate::images::garbage;
use crate::pods::{self, PodIndex};
use message::Resource;
use pressure::{Starved, State};
use rank::{Share, Sharing};
use settings::Urgency;

pub(crate) use orders::{Eviction, Evictions};
pub(crate) use pressure::Pressure;
pub(crate) use rank::CRITICAL;
pub use settings::{EvictionSettings, MinimumReclaim, MissingGrace, SoftGrace};
pub(crate) use supplies::{Supplies, observe};
#[cfg(test)]
pub(crate) use thresholds::{Signal, Supply};
pub use thresholds::{Thresholds, ThresholdsError};

/// How long nobody looks after a look, as upstream.
const LOOKS_EVERY: Duration = Duration::from_secs(10);
/// How long a Pod that was ended is waited for.
const CLEANUP: Duration = Duration::from_secs(30);

/// Tells what there is.
pub(crate) type Observe = Box<dyn Fn() -> Supplies + Send + Sync>;

/// Looks at what is free, and ends Pods.
pub(crate) struct Manager {
    ctx: Arc<Context>,
    index: PodIndex,
    observe: Observe,
    state: State,
    pressure: watch::Sender<Pressure>,
}

impl Manager {
    /// A manager that has looked once at what `observe` sees, and what it found, kept true while it runs.
    pub(crate) fn new(
        ctx: Arc<Context>,
        index: PodIndex,
        settings: EvictionSettings,
        observe: Observe,
    ) -> (Self, watch::Receiver<Pressure>) {
        let mut state = State::new(settings);
        let finding = state.look(&observe(), ctx.clock.now());
        let (pressure, receiver) = watch::channel(finding.pressure);
        (Self { ctx, index, observe, state, pressure }, receiver)
    }

    /// Looks again and again, until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOKS_EVERY).await;
                while let Some(uid) = self.turn().await {
                    self.until_stopped(&uid).await;
                }
            }
        };
        shutdown.run_until_cancelled(looking).await;
    }

    /// One look; the Pod that is to end, if one is.
    async fn turn(&mut self) -> Option<String> {
        let finding = self.state.look(&(self.observe)(), self.ctx.clock.now());
        let pressure = finding.pressure;
        self.pressure.send_if_modified(|known| std::mem::replace(known, pressure) != pressure);
        let starved = finding.starved?;
        let resource = Resource::of(starved.key.signal);
        let message = format!("Attempting to reclaim {}", resource.as_str());
        let happening = Happening::of_pod(Severity::Warning, "EvictionThresholdMet", message);
        self.ctx.events.node(&self.ctx.node_name, happening);
        let frees_disk = matches!(resource, Resource::Storage | Resource::Inodes);
        if frees_disk && self.reclaim_disk().await && !self.state.is_short(&(self.observe)()) {
            return None;
        }
        self.evict(&starved).await
    }

    /// Removes what nobody needs; says whether there was anything.
    async fn reclaim_disk(&self) -> bool {
        let ended = self.remove_ended().await;
        let freed = garbage::reclaim(&self.ctx).await.unwrap_or_else(|error| {
            warn!(error = %chain(&error), "images that nothing uses cannot be removed");
            0
        });
        ended || freed > 0
    }

    /// Removes attempts that ended and have a successor; says whether there were any.
    async fn remove_ended(&self) -> bool {
        let mut removed = false;
        for pod in self.index.all() {
            for running in superseded(&self.ctx.containers.of_pod(uid(&pod))) {
                pods::remove_attempt(&self.ctx, &pod, &running.status.id, running.handler).await;
                removed = true;
            }
        }
        removed
    }

    /// Has the first Pod by rank ended that may be.
    async fn evict(&self, starved: &Starved) -> Option<String> {
        let resource = Resource::of(starved.key.signal);
        let sharing =
            if resource == Resource::ProcessIds { Sharing::Unrequested } else { Sharing::Requested };
        let mut candidates = Vec::new();
        for pod in self.index.all().into_iter().filter(|pod| self.is_active(pod)) {
            let share = self.share(&pod, resource).await;
            candidates.push((share, pod));
        }
        candidates.sort_by(|(a, _), (b, _)| rank::order(sharing, a, b));
        let (share, pod) = candidates.into_iter().find(|(_, pod)| !rank::is_critical(pod))?;
        let grace = match starved.key.urgency {
            Urgency::Hard => Eviction::AT_ONCE,
            Urgency::Soft => {
                let longest = Duration::from_secs(self.state.settings().max_pod_grace.into());
                longest.min(pods::termination_grace(&pod))
            }
        };
        let message = message::eviction(&pod, starved, &share);
        warn!(pod = uid(&pod), message, "evicting a pod");
        self.ctx.evictions.order(uid(&pod), Eviction { reason: Eviction::EVICTED, message, grace });
        Some(uid(&pod).to_owned())
    }

    /// Whether the Pod takes something that it would give back.
    fn is_active(&self, pod: &Pod) -> bool {
        let runs = || self.ctx.containers.of_pod(uid(pod)).iter().any(Running::is_running);
        let ends = pod.metadata.deletion_timestamp.is_some() || self.ctx.evictions.of(uid(pod)).is_some();
        !ends && runs()
    }

    /// What the Pod takes, and what it asked for.
    async fn share(&self, pod: &Arc<Pod>, resource: Resource) -> Share {
        let running: Vec<Running> =
            self.ctx.containers.of_pod(uid(pod)).into_iter().filter(Running::is_running).collect();
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
        match resource {
            Resource::Memory => {
                let used = self.usage(&running, |usage| usage.working_set).await;
                Share { used, beside: 0, requested: pods::requests(pod).memory, priority }
            }
            Resource::ProcessIds => {
                let used = self.usage(&running, |usage| usage.processes).await;
                Share { used, beside: 0, requested: 0, priority }
            }
            Resource::Storage | Resource::Inodes => {
                let containers = running.into_iter().map(|it| (it.status.id, it.handler)).collect();
                let taken =
                    pods::disk_usage(self.ctx.clone(), pod.clone(), containers).await.unwrap_or_default();
                let counted = |usage: DiskUsage| match resource {
                    Resource::Inodes => usage.inodes,
                    _ => usage.bytes,
                };
                let beside = counted(taken.volumes.values().copied().sum());
                let asked = pod.spec.iter().flat_map(|spec| &spec.containers);
                let asked =
                    asked.map(|container| message::requested(container, Resource::Storage.as_str()).value());
                let requested = u64::try_from(asked.sum::<i128>()).unwrap_or(u64::MAX);
                let used = taken.containers.into_iter().map(|(name, usage)| (name, counted(usage))).collect();
                // Nobody can ask for files.
                let requested = if resource == Resource::Inodes { 0 } else { requested };
                Share { used, beside, requested, priority }
            }
        }
    }

    /// What containers take, by name. Nothing is known of those that ended meanwhile.
    async fn usage(
        &self,
        running: &[Running],
        of: fn(&wherry_runtime_api::Usage) -> u64,
    ) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for it in running {
            match self.ctx.runtimes.get(it.handler).usage(&it.status.id).await {
                Ok(usage) => drop(found.insert(it.status.id.name.clone(), of(&usage))),
                Err(error) => {
                    warn!(container = %it.status.id, error = %chain(&error), "cannot tell what it uses");
                }
            }
        }
        found
    }

    /// Waits until nothing of the Pod runs, for a while.
    async fn until_stopped(&self, uid: &str) {
        let mut changes = self.ctx.containers.changes();
        let stopped = async {
            while self.ctx.containers.of_pod(uid).iter().any(Running::is_running) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // One that takes longer is not waited for: others may give back what is short.
        tokio::time::timeout(CLEANUP, stopped).await.ok();
    }
}

/// Attempts that ended and after which another began.
fn superseded(containers: &[Running]) -> Vec<Running> {
    let newest = |name: &str| {
        let all = containers.iter().filter(|it| it.status.id.name == name);
        all.map(|it| it.status.id.attempt).max().unwrap_or(0)
    };
    let ended = containers.iter().filter(|it| {
        let id = &it.status.id;
        id.attempt < newest(&id.name) && !it.is_running()
    });
    ended.cloned().collect()
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
