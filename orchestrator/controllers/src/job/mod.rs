//! Job: runs Pods until enough of them have succeeded, or too many failed.
//!
//! Flow: claim the Pods (adopt, release), decide ([`plan`]), make or delete Pods, write the status with the ids of the
//! Pods that ended, take their finalizers off, write their count ([`drive`]).
//!
//! Guarantees: every Pod that ended is counted once, whatever happens between two writes ([`tally`]). While the cache
//! does not show all Pods that were made and deleted, nothing is made or deleted; while it shows an older Job than the
//! one written last, nothing is decided at all.
//!
//! Assumptions: a Job that names another manager is that manager's.

mod backoff;
mod drive;
mod facts;
mod failure_policy;
mod hands;
mod indexes;
mod memory;
pub(crate) mod orphans;
mod plan;
mod scale;
#[cfg(test)]
mod sim;
mod success_policy;
mod tally;
mod template;
mod terms;
mod verdict;

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use kube::Client;
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::claim::{claim, wake_owners};
use crate::objects::jobs::ending;
use crate::objects::meta::Key;
use crate::objects::pod_control::waits;
use crate::runtime::error::ReconcileError;
use crate::runtime::queue::Queue;
use crate::runtime::recorder::Recorder;
use crate::runtime::worker::{Controller, Next};
use drive::drive;
use facts::World;
use hands::ApiHands;
use memory::Memory;

/// Who a Job is managed by unless it says otherwise.
const MANAGER: &str = "kubernetes.io/job-controller";

/// See the module's documentation.
pub(crate) struct JobController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    memory: Arc<Memory>,
}

impl Controller for JobController {
    const NAME: &'static str = "job-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let memory = Arc::new(Memory::default());
        let (wake, forget) = (queue.clone(), memory.clone());
        context.caches.jobs.on_change(move |change| {
            if let (Some(gone), None) = (change.old, change.new) {
                forget.forget(&Key::of(&**gone));
            }
            if let Some(job) = change.last() {
                wake.add(Key::of(&**job));
            }
        });
        let (wake, observer, owners) = (queue.clone(), memory.clone(), context.caches.jobs.clone());
        context.caches.pods.on_change(move |change| {
            observer.observe(change);
            wake_owners(change, &owners, &wake);
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
            memory,
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let job = self.caches.jobs.get(key).filter(|job| ending(job).is_none() && is_ours(job));
        let Some(job) = job else {
            self.memory.forget(key);
            return Ok(Next::OnChange);
        };
        if self.memory.is_behind(key, &job) {
            return Ok(Next::OnChange);
        }
        // What is remembered is read before the Pods, so that no Pod is older than the memory of it.
        let open = waits(&self.memory.expectations, key, &self.client, &self.caches.pods).await?;
        let released = self.memory.released(key);
        let pods = claim(&self.client, &*job, &self.caches.pods, |_| true).await?;
        let world = World {
            job: &job,
            pods: &pods,
            released: &released,
            backoff: self.memory.backoff(key),
            settled: open.is_none(),
        };
        let hands =
            ApiHands { client: &self.client, caches: &self.caches, recorder: &self.recorder, job: &job };
        let next = drive((&hands, &self.memory), key, world, self.clock.now()).await?;
        Ok(open.map_or(next, |open| next.sooner(open)))
    }
}

/// Whether this controller manages the Job.
fn is_ours(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
    manager.is_none_or(|manager| manager == MANAGER)
}
