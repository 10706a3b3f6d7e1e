//! StatefulSet: Pods that keep their names and their claims, made and replaced one after the other.
//!
//! Flow: claim revisions and Pods (adopt, release), bring the history up to date with the template, [`plan::plan`]
//! decides, the steps are written in order, then the status, then the history is cut.
//!
//! Guarantees: names of Pods follow from their ordinals, so the API never holds two of one identity; what was written
//! is noted in the caches, so that a cache that lags never makes a second step follow the first too early.

mod apply;
mod claims;
mod identity;
mod plan;
mod revisions;
mod status;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use crate::context::{Caches, Context};
use crate::objects::claim::{claim, wake_owners};
use crate::objects::history::{self, History};
use crate::objects::meta::Key;
use crate::runtime::cache::Change;
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::Recorder;
use crate::runtime::worker::{Controller, Next};
use plan::World;
use revisions::Revisions;

/// See the module's documentation.
pub(crate) struct StatefulSetController {
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
    history: History,
}

impl Controller for StatefulSetController {
    const NAME: &'static str = "statefulset-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let caches = context.caches.clone();
        let wake = queue.clone();
        caches.stateful_sets.on_change(move |change| {
            if let Some(set) = change.new {
                wake.add(Key::of(&**set));
            }
        });
        let (wake, sets) = (queue.clone(), caches.stateful_sets.clone());
        caches.pods.on_change(move |change| wake_owners(change, &sets, &wake));
        let (wake, sets) = (queue.clone(), caches.stateful_sets.clone());
        caches.controller_revisions.on_change(move |change| wake_owners(change, &sets, &wake));
        let (wake, all) = (queue.clone(), caches.clone());
        caches.persistent_volume_claims.on_change(move |change| on_claim(change, &wake, &all));
        let (client, cache) = (context.client.clone(), caches.controller_revisions.clone());
        let (recorder, clock) = (context.recorder.clone(), context.config.clock.clone());
        Self { caches, recorder, clock, history: History { client, cache } }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(set) = self.caches.stateful_sets.get(key) else { return Ok(Next::OnChange) };
        let client = &self.history.client;
        let mut all = claim(client, &*set, &self.history.cache, |_| true).await?;
        history::sort(&mut all);
        let is_member = |pod: &Pod| identity::ordinal(&set, pod).is_some();
        let pods = claim(client, &*set, &self.caches.pods, is_member).await?;
        let revisions = self.revisions(&set, &all).await?;
        let claim = |name: &str| self.caches.persistent_volume_claims.get(&Key::new(&key.namespace, name));
        let Revisions { current, update, collisions } = &revisions;
        let (collisions, now) = (*collisions, self.clock.now());
        let world = World { set: &set, current, update, collisions, pods: &pods, claim: &claim, now };
        let plan = plan::plan(&world);
        let applied = self.apply(&set, plan.steps).await;
        self.write_status(&set, plan.status).await?;
        applied?;
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let is_live = |name: &str| {
            name == current.name
                || name == update.name
                || pods.iter().any(|pod| identity::revision(pod) == name)
        };
        for revision in history::surplus(&all, limit, is_live) {
            self.history.delete(revision).await?;
        }
        Ok(plan.look_again.map_or(Next::OnChange, Next::After))
    }
}

impl StatefulSetController {
    async fn write_status(&self, set: &StatefulSet, status: StatefulSetStatus) -> Result<(), ReconcileError> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let changed = StatefulSet { status: Some(status), ..set.clone() };
        let api =
            Api::<StatefulSet>::namespaced(self.history.client.clone(), &set.namespace().unwrap_or_default());
        let written = api.replace_status(&set.name_any(), &PostParams::default(), &changed).await;
        self.caches.stateful_sets.note(written.step("writing the StatefulSet's status")?);
        Ok(())
    }
}

/// Wakes the sets whose Pods mount this claim.
fn on_claim(change: &Change<'_, PersistentVolumeClaim>, queue: &Queue<Key>, caches: &Caches) {
    let Some(claim) = change.last() else { return };
    let name = claim.name_any();
    for set in caches.stateful_sets.namespace(claim.metadata.namespace.as_deref().unwrap_or_default()) {
        let templates = set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten());
        let prefixes = templates.map(|template| format!("{}-{}-", template.name_any(), set.name_any()));
        if prefixes.into_iter().any(|prefix| name.starts_with(&prefix)) {
            queue.add(Key::of(&*set));
        }
    }
}
