//! Pods whose Job counts them no more: their finalizer goes, so that they can.
//!
//! Those are Pods that belong to nobody, or to a Job that is gone or over. Pods of a Job that another program manages
//! are left to it.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

use super::facts::has_finalizer;
use super::{hands, is_ours};
use crate::context::{Caches, Context};
use crate::objects::jobs::ending;
use crate::objects::meta::{Key, controller_key, controller_of, is_controlled_by, uid};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// See the module's documentation.
pub(crate) struct JobOrphansController {
    client: Client,
    caches: Arc<Caches>,
}

impl Controller for JobOrphansController {
    const NAME: &'static str = "job-orphans-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let (wake, caches) = (queue.clone(), context.caches.clone());
        context.caches.pods.on_change(move |change| {
            if let Some(pod) = change.new.filter(|pod| is_orphan(pod, &caches)) {
                wake.add(Key::of(&**pod));
            }
        });
        let (wake, caches) = (queue.clone(), context.caches.clone());
        context.caches.jobs.on_change(move |change| {
            let Some(job) = change.last().filter(|job| change.new.is_none() || ending(job).is_some()) else {
                return;
            };
            let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
            let own = uid(&job.metadata);
            let left = |pod: &Pod| has_finalizer(pod) && is_controlled_by(&pod.metadata, own);
            for pod in caches.pods.select(namespace, left) {
                wake.add(Key::of(&*pod));
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let pod = self.caches.pods.get(key).filter(|pod| is_orphan(pod, &self.caches));
        let Some(pod) = pod else { return Ok(Next::OnChange) };
        match hands::release(&self.client, &self.caches, &pod, false).await {
            Err(error) if !is_not_found(&error) => Err(error).step("taking the finalizer off an orphan"),
            Ok(()) | Err(_) => Ok(Next::OnChange),
        }
    }
}

/// Whether the finalizer keeps a Pod that nobody counts.
fn is_orphan(pod: &Pod, caches: &Caches) -> bool {
    if !has_finalizer(pod) {
        return false;
    }
    let Some(owner) = controller_of(&pod.metadata) else { return true };
    let Some(key) = controller_key::<Job>(&pod.metadata) else { return false };
    let job = caches.jobs.get(&key).filter(|job| uid(&job.metadata) == owner.uid);
    job.is_none_or(|job| is_ours(&job) && ending(&job).is_some())
}
