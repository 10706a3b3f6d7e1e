//! DaemonSet: one Pod on each node it belongs on.
//!
//! Flow: claim revisions and Pods (adopt, release), bring the history up to date with the template, let every node have
//! what belongs on it ([`plan::manage`]), then the rollout ([`plan::roll`]), then the status, then the history is cut.
//!
//! Guarantees: while expectations are open nothing is created or deleted. The scheduler binds the Pods; each can go to
//! one node only.

mod failures;
mod plan;
mod pod;
mod revisions;
mod rollout;
mod status;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use crate::context::{Caches, Context};
use crate::objects::claim::{claim, wake_owners};
use crate::objects::history::{self, History, POD_REVISION};
use crate::objects::meta::{Key, labels, reference, uid};
use crate::objects::pod_control::PodControl;
use crate::objects::pods::is_failed;
use crate::runtime::cache::Change;
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::expectations::Expectations;
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Severity};
use crate::runtime::worker::{Controller, Next};
use failures::Failures;
use plan::{Plan, World};
use pod::Candidate;

/// See the module's documentation.
pub(crate) struct DaemonSetController {
    caches: Arc<Caches>,
    clock: Arc<dyn wherry_api::clock::Clock>,
    pods: PodControl,
    history: History,
    failures: Arc<Failures>,
}

impl Controller for DaemonSetController {
    const NAME: &'static str = "daemonset-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let caches = context.caches.clone();
        let (expectations, failures) = (Arc::new(Expectations::default()), Arc::new(Failures::default()));
        let (wake, open, failed) = (queue.clone(), expectations.clone(), failures.clone());
        caches.daemon_sets.on_change(move |change| {
            let Some(set) = change.last() else { return };
            if change.new.is_none() {
                open.forget(&Key::of(&**set));
                failed.forget(uid(&set.metadata));
            }
            wake.add(Key::of(&**set));
        });
        let (wake, open, all) = (queue.clone(), expectations.clone(), caches.clone());
        caches.pods.on_change(move |change| on_pod(change, &wake, &open, &all));
        let (wake, all) = (queue.clone(), caches.clone());
        caches.nodes.on_change(move |change| on_node(change, &wake, &all));
        let (wake, all) = (queue.clone(), caches.clone());
        caches.controller_revisions.on_change(move |change| wake_owners(change, &all.daemon_sets, &wake));
        let history = History { client: context.client.clone(), cache: caches.controller_revisions.clone() };
        let pods = PodControl::new(context, expectations, Self::NAME);
        Self { caches, clock: context.config.clock.clone(), pods, history, failures }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(set) = self.caches.daemon_sets.get(key) else {
            self.pods.expectations.forget(key);
            return Ok(Next::OnChange);
        };
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(Next::OnChange);
        }
        let trusted = self.pods.waits(key).await?;
        let mut all = claim(&self.history.client, &*set, &self.history.cache, |_| true).await?;
        history::sort(&mut all);
        let pods = claim(&self.history.client, &*set, &self.caches.pods, |_| true).await?;
        let current = self.revision(&set, &all, &pods).await?;
        let hash = labels(&current.metadata).get(POD_REVISION).cloned().unwrap_or_default();
        let nodes = self.caches.nodes.all();
        let world = World { set: &set, hash: &hash, nodes: &nodes, pods: &pods, now: self.clock.now() };
        let acted = match trusted {
            None => self.act(&world).await,
            Some(wait) => Ok(Some(wait)),
        };
        self.write_status(&world, trusted.is_none()).await?;
        let wait = acted?;
        self.cut_history(&set, &all, &current, &pods).await?;
        let soonest = wait.into_iter().chain(plan::next_available(&world)).min();
        Ok(soonest.map_or(Next::OnChange, Next::After))
    }
}

/// What came of a plan.
struct Applied {
    /// Whether anything was created or deleted.
    changed: bool,
    /// How long failed Pods have to wait.
    wait: Option<Duration>,
}

impl DaemonSetController {
    /// Lets the nodes have what belongs on them, or rolls if they do; returns how long failed Pods have to wait.
    async fn act(&self, world: &World<'_>) -> Result<Option<Duration>, ReconcileError> {
        let Applied { changed, wait } = self.apply(world, plan::manage(world)).await?;
        // Where something was done, the Pods are not as they were seen; what becomes of them wakes the set again.
        if !changed {
            self.apply(world, plan::roll(world)).await?;
        }
        Ok(wait)
    }

    async fn apply(&self, world: &World<'_>, mut plan: Plan) -> Result<Applied, ReconcileError> {
        let mut wait = None;
        for pod in std::mem::take(&mut plan.ended) {
            match self.may_replace(world, &pod) {
                Ok(()) => plan.delete.push(pod),
                Err(longer) => wait = Some(wait.map_or(longer, |wait: Duration| wait.min(longer))),
            }
        }
        let plan = plan.limited();
        let changed = !plan.is_empty();
        let created: Vec<_> =
            plan.create.iter().map(|node| pod::new_pod(world.set, node, world.hash)).collect();
        let created: Vec<_> = created.iter().collect();
        match self.pods.sync(world.set, &created, &plan.delete).await {
            Some((_, error)) => Err(error),
            None => Ok(Applied { changed, wait }),
        }
    }

    /// Whether a Pod that ended may be replaced now, which is told; if not, how long to wait.
    fn may_replace(&self, world: &World<'_>, pod: &Pod) -> Result<(), Duration> {
        let node = pod::node_of(pod).unwrap_or_default();
        let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
        let (severity, reason, message) = if is_failed(pod) {
            let generation = world.set.status.as_ref().and_then(|status| status.observed_generation);
            let place = (uid(&world.set.metadata).to_owned(), generation.unwrap_or(0), node.to_owned());
            self.failures.replace(place, world.now)?;
            let message = format!("Found failed daemon pod {name} on node {node}, will try to kill it");
            (Severity::Warning, "FailedDaemonPod", message)
        } else {
            let message = format!("Found succeeded daemon pod {name} on node {node}, will try to delete it");
            (Severity::Normal, "SucceededDaemonPod", message)
        };
        let notice = Notice { component: Self::NAME, severity, reason, message };
        self.pods.recorder.event(reference(world.set), notice);
        Ok(())
    }

    async fn write_status(&self, world: &World<'_>, is_observed: bool) -> Result<(), ReconcileError> {
        let wanted = status::status(world, is_observed);
        if world.set.status.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let changed = DaemonSet { status: Some(wanted), ..world.set.clone() };
        let api = self.api(world.set);
        let written = api.replace_status(&changed.name_any(), &PostParams::default(), &changed).await;
        self.caches.daemon_sets.note(written.step("writing the DaemonSet's status")?);
        Ok(())
    }

    async fn cut_history(
        &self,
        set: &DaemonSet,
        all: &[Arc<ControllerRevision>],
        current: &ControllerRevision,
        pods: &[Arc<Pod>],
    ) -> Result<(), ReconcileError> {
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let hashes: Vec<_> = pods.iter().filter_map(|pod| labels(&pod.metadata).get(POD_REVISION)).collect();
        let is_live = |name: &str| {
            let revision = all.iter().find(|revision| revision.name_any() == name);
            let hash = revision.and_then(|revision| labels(&revision.metadata).get(POD_REVISION));
            name == current.name_any() || hash.is_some_and(|hash| hashes.contains(&hash))
        };
        for revision in history::surplus(all, limit, is_live) {
            self.history.delete(revision).await?;
        }
        Ok(())
    }

    fn api(&self, set: &DaemonSet) -> Api<DaemonSet> {
        Api::namespaced(self.history.client.clone(), &set.namespace().unwrap_or_default())
    }
}

/// Lowers expectations and wakes the sets a Pod belongs to, or might come to belong to.
fn on_pod(change: &Change<'_, Pod>, queue: &Queue<Key>, expectations: &Expectations, caches: &Caches) {
    expectations.observe::<DaemonSet>(change);
    wake_owners(change, &caches.daemon_sets, queue);
}

/// Wakes the sets for which it makes a difference what became of a node.
fn on_node(change: &Change<'_, Node>, queue: &Queue<Key>, caches: &Caches) {
    if let (Some(old), Some(new)) = (change.old, change.new)
        && old.metadata.labels == new.metadata.labels
        && old.spec == new.spec
    {
        return;
    }
    for set in caches.daemon_sets.all() {
        let candidate = Candidate::of(&set);
        let [before, now] = [change.old, change.new].map(|node| node.map(|node| candidate.belongs(node)));
        if before != now {
            queue.add(Key::of(&*set));
        }
    }
}
