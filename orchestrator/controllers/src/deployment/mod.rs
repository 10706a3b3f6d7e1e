//! Deployment: moves Pods from one template to the next through ReplicaSets, one for each template.
//!
//! Flow: claim the ReplicaSets (adopt, release), [`plan::plan`] decides on a model of them, the decisions are
//! written one after the other: new set, scaled sets, cleaned up sets, revision, status.
//!
//! Guarantees: a rolling update keeps at least `replicas - maxUnavailable` Pods available and at most
//! `replicas + maxSurge` Pods in all; names of ReplicaSets follow from their template, so that a lost reply
//! never makes a second set of one template; every write of a ReplicaSet carries the version it was planned on.
//!
//! Errors: a conflict or a failed write ends the run; the next one plans anew from what is there then.

mod apply;
mod cleanup;
mod conditions;
mod limits;
mod model;
mod plan;
mod recreate;
mod revision;
mod rolling;
mod scale;
mod status;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

use crate::context::{Caches, Context};
use crate::objects::claim;
use crate::objects::meta::{Key, controller_key, uid};
use crate::objects::pods::is_terminal;
use crate::runtime::cache::Change;
use crate::runtime::error::ReconcileError;
use crate::runtime::queue::Queue;
use crate::runtime::recorder::Recorder;
use crate::runtime::worker::{Controller, Next};

/// See the module's documentation.
pub(crate) struct DeploymentController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
}

impl Controller for DeploymentController {
    const NAME: &'static str = "deployment-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let caches = &context.caches;
        let wake = queue.clone();
        caches.deployments.on_change(move |change| {
            if let Some(deployment) = change.last() {
                wake.add(Key::of(&**deployment));
            }
        });
        let (wake, all) = (queue.clone(), caches.clone());
        caches.replica_sets.on_change(move |change| claim::wake_owners(change, &all.deployments, &wake));
        let (wake, all) = (queue.clone(), caches.clone());
        caches.pods.on_change(move |change| on_pod(change, &wake, &all));
        Self {
            client: context.client.clone(),
            caches: caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(deployment) = self.caches.deployments.get(key) else { return Ok(Next::OnChange) };
        let sets = claim::claim(&self.client, &*deployment, &self.caches.replica_sets, |_| true).await?;
        let pods = self.pods_of(&deployment, &sets);
        let world = plan::World { deployment: &deployment, sets: &sets, pods: &pods, now: self.clock.now() };
        let planned = plan::plan(&world);
        let next = planned.look_again;
        self.apply(&deployment, planned.actions).await?;
        Ok(next.map_or(Next::OnChange, Next::After))
    }
}

impl DeploymentController {
    /// The Pods of the sets; only Recreate looks at them.
    fn pods_of(&self, deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> Vec<Arc<Pod>> {
        if !limits::is_recreate(deployment) {
            return Vec::new();
        }
        let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
        let pods = sets.iter().map(|set| self.caches.pods.managed_by(namespace, uid(&set.metadata)));
        pods.flatten().collect()
    }
}

/// Wakes a Deployment of strategy Recreate when a Pod of it has ended: it waits for the last one.
fn on_pod(change: &Change<'_, Pod>, queue: &Queue<Key>, caches: &Caches) {
    let Some(pod) = change.last().filter(|pod| change.new.is_none() || is_terminal(pod)) else { return };
    let set = controller_key::<ReplicaSet>(&pod.metadata).and_then(|key| caches.replica_sets.get(&key));
    let Some(key) = set.and_then(|set| controller_key::<Deployment>(&set.metadata)) else { return };
    if caches.deployments.get(&key).is_some_and(|deployment| limits::is_recreate(&deployment)) {
        queue.add(key);
    }
}
