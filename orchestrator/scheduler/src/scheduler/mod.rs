//! The task that owns all state: it takes in changes, decides, and hands the writes to tasks of their own.
//!
//! Flow: all changes at hand are taken in (`intake`) before the next Pod is decided on (`decide`). A decision is assumed at
//! once, so the next cycle counts with it while the binding is still on its way; how writes ended comes back
//! (`outcome`).
//!
//! Guarantees: no decision before all lists are complete; a Pod counts against its node from the decision until the API
//! says otherwise or the binding is certainly refused.

mod decide;
mod devices;
mod extended;
mod intake;
mod listing;
mod objects;
mod outcome;
mod panel;
mod volumes;
mod wake;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use kube::runtime::watcher::Event;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::cluster::Cluster;
use crate::config::Config;
use crate::cycle::Scratch;
use crate::extender::Extenders;
use crate::io::events::Recorder;
use crate::io::random::Random;
use crate::io::writes::Writes;
use crate::metrics::Gauges;
use crate::preemption::{Budgets, Nominations};
use crate::profiles::Profiles;
use crate::queue::Queue;
use decide::Next;
use listing::Listing;
pub(crate) use objects::Object;
use objects::ObjectListings;
use outcome::Written;
use volumes::Awaited;

/// How long the writes under way may take after shutdown.
const DRAIN: Duration = Duration::from_secs(10);
/// After how many decisions without a rest the gauges are published.
const PUBLISH_EVERY: u32 = 256;

/// What the watches report.
pub(crate) enum Input {
    Pod(Box<Event<Pod>>),
    Node(Box<Event<Node>>),
    Namespace(Box<Event<Namespace>>),
    Budget(Box<Event<PodDisruptionBudget>>),
    Object(Object),
}

/// The lists that must be complete.
#[derive(Default)]
struct Listings {
    pods: Listing,
    nodes: Listing,
    namespaces: Listing,
    budgets: Listing,
    objects: ObjectListings,
}

/// See the module's documentation.
pub(crate) struct Scheduler {
    client: Client,
    config: Config,
    recorder: Recorder,
    random: Random,
    profiles: Profiles,
    extenders: Extenders,
    cluster: Cluster,
    scratch: Scratch,
    queue: Queue<crate::event::Event>,
    nominations: Nominations,
    budgets: Budgets,
    /// The Pods that end because of a preemption, by uid.
    ending: HashSet<String>,
    listings: Listings,
    awaited: Awaited,
    writes: Writes<Written>,
    unpublished: u32,
}

impl Scheduler {
    pub(crate) fn new(client: Client, config: Config, recorder: Recorder) -> Self {
        let random = Random::new(config.seed);
        let profiles = Profiles::new(&config);
        let queue = Queue::new(config.configuration.backoff);
        Self {
            client,
            config,
            recorder,
            random,
            profiles,
            extenders: Extenders::default(),
            cluster: Cluster::default(),
            scratch: Scratch::default(),
            queue,
            nominations: Nominations::default(),
            budgets: Budgets::default(),
            ending: HashSet::new(),
            listings: Listings::default(),
            awaited: Awaited::default(),
            writes: Writes::new(),
            unpublished: 0,
        }
    }

    /// Asks these as well.
    pub(crate) fn asking(self, extenders: Extenders) -> Self {
        Self { extenders, ..self }
    }

    /// Works until shutdown, then lets the writes that are under way finish.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            while let Ok(input) = inputs.try_recv() {
                self.take_in(input);
            }
            while let Some(ended) = self.writes.try_ended() {
                self.written(ended);
            }
            match self.decide_one() {
                Next::Decided => {
                    self.publish(PUBLISH_EVERY);
                    continue;
                }
                Next::Asks(cycle) => {
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = Box::pin(self.decide_with_extenders(cycle)) => {}
                    }
                    self.publish(PUBLISH_EVERY);
                    continue;
                }
                Next::Rest => self.publish(1),
            }
            let due = self.queue.next_due().into_iter().chain(self.awaited.next_due()).min();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(input) = inputs.recv() => self.take_in(input),
                Some(ended) = self.writes.ended() => self.written(ended),
                () = sleep_until(due) => self.claims_changed(),
            }
        }
        // A server that does not answer must not hold us: who starts next finds out what came of these writes.
        if tokio::time::timeout(DRAIN, self.drain()).await.is_err() {
            debug!("some writes have no answer yet");
        }
    }

    async fn drain(&mut self) {
        while let Some(ended) = self.writes.ended().await {
            self.written(ended);
        }
    }

    /// Publishes the gauges if so much happened since the last time.
    fn publish(&mut self, after: u32) {
        self.unpublished += 1;
        if self.unpublished < after {
            return;
        }
        self.unpublished = 0;
        self.config.metrics.incoming(&self.queue.take_incoming());
        let mut gauges = Gauges {
            waiting: self.queue.waiting(),
            nodes: self.cluster.node_count(),
            pods: self.cluster.pod_count(),
            ..Gauges::default()
        };
        for (plugins, count) in self.queue.refused() {
            plugins
                .iter()
                .for_each(|plugin| *gauges.unschedulable.entry(plugin.name()).or_default() += count);
        }
        self.config.metrics.publish(gauges);
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// A Pod's uid, or nothing that is one.
fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

type Shared = Arc<crate::pod::PodInfo>;

#[cfg(test)]
mod sim_tests;
