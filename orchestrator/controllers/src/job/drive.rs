//! The order in which a Job's writes happen. Whichever of them is the last one, the next run goes on from there.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::facts::World;
use super::memory::Memory;
use super::plan::{Plan, plan};
use super::scale::Change;
use super::tally::{Done, Tally, tally};
use super::verdict::Verdict;
use crate::objects::meta::{Key, uid};
use crate::objects::pods::is_ready;
use crate::runtime::error::{ReconcileError, Step, is_namespace_terminating, is_not_found, is_refusal};
use crate::runtime::worker::Next;

/// The writes there are.
pub(super) trait Hands: Sync {
    /// Makes a Pod, which the cache shows then.
    fn create(&self, pod: &Pod) -> impl Future<Output = Result<(), kube::Error>> + Send;
    /// Deletes a Pod; tells whether it was there.
    fn delete(&self, pod: &Pod) -> impl Future<Output = Result<bool, kube::Error>> + Send;
    /// Takes the finalizer off a Pod, if asked only when it is still what the cache shows.
    fn release(&self, pod: &Pod, unchanged: bool) -> impl Future<Output = Result<(), kube::Error>> + Send;
    /// Writes the Job's status; answers the Job as it is then.
    fn write(&self, job: &Job) -> impl Future<Output = Result<Job, kube::Error>> + Send;
    /// Tells that the Job was suspended or resumed.
    fn tell_suspension(&self, job: &Job, suspended: bool);
    /// Tells that the Job is over.
    fn tell_end(&self, job: &Job, verdict: &Verdict);
}

type Failed = Option<ReconcileError>;

/// Does once what is to be done about a Job.
pub(super) async fn drive<H: Hands>(
    (hands, memory): (&H, &Memory),
    key: &Key,
    world: World<'_>,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let Some(plan) = plan(world, now) else { return Ok(Next::OnChange) };
    let run = Run { hands, memory, key };
    let (done, failed) = run.change(&plan).await;
    let tally = tally(&plan, done, now);
    let mut job = world.job.clone();
    run.write_tally(&mut job, &plan, &tally).await?;
    let (released, not_released) = run.release(&tally.release).await;
    let (status, end) = tally.settle(job.status.clone().unwrap_or_default(), &released, now);
    run.write_status(&mut job, status).await?;
    if let Some(verdict) = end {
        run.hands.tell_end(&job, &verdict);
    }
    match failed.or(not_released) {
        Some(error) => Err(error),
        None => Ok(plan.look_again.map_or(Next::OnChange, Next::After)),
    }
}

/// One run of [`drive`].
struct Run<'a, H> {
    hands: &'a H,
    memory: &'a Memory,
    key: &'a Key,
}

impl<H: Hands> Run<'_, H> {
    async fn write_tally(&self, job: &mut Job, plan: &Plan<'_>, tally: &Tally) -> Result<(), ReconcileError> {
        if !self.write_status(job, tally.status.clone()).await? {
            return Ok(());
        }
        self.memory.remember_backoff(self.key, plan.facts.backoff);
        if let Some(suspended) = tally.suspension {
            self.hands.tell_suspension(job, suspended);
        }
        Ok(())
    }

    /// Writes a status that differs from the Job's; tells whether it did.
    async fn write_status(&self, job: &mut Job, status: JobStatus) -> Result<bool, ReconcileError> {
        if job.status.as_ref() == Some(&status) {
            return Ok(false);
        }
        job.status = Some(status);
        *job = self.hands.write(job).await.step("writing the Job's status")?;
        self.memory.wrote(self.key, job);
        Ok(true)
    }

    /// Makes or deletes Pods; tells how many there are then.
    async fn change(&self, plan: &Plan<'_>) -> (Done, Failed) {
        let facts = &plan.facts;
        let mut done =
            Done { active: facts.active.len(), ready: facts.ready, terminating: facts.terminating };
        let failed = match &plan.change {
            Change::Nothing => None,
            Change::Create(pods) => {
                let (created, failed) = self.create(pods).await;
                done.active += created;
                failed
            }
            Change::Remove(pods) => self.delete(pods, true, &mut done).await,
            Change::Stop(pods) => self.delete(pods, false, &mut done).await,
        };
        (done, failed)
    }

    /// Creates in batches of 1, 2, 4, ... until all are there or one failed.
    async fn create(&self, pods: &[Pod]) -> (usize, Failed) {
        self.memory.expectations.expect(self.key, pods.len(), std::iter::empty());
        let (mut left, mut batch, mut created) = (pods, 1, 0);
        while !left.is_empty() {
            let (now, later) = left.split_at(batch.min(left.len()));
            let outcomes = join_all(now.iter().map(|pod| self.create_one(pod))).await;
            created += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            (left, batch) = (later, batch * 2);
            if let Some(failed) = outcomes.into_iter().find_map(Result::err) {
                self.memory.expectations.created(self.key, left.len());
                return (created, failed);
            }
        }
        (created, None)
    }

    /// `Err(None)` is a refusal that needs neither a retry nor a complaint.
    async fn create_one(&self, pod: &Pod) -> Result<(), Failed> {
        let outcome = self.hands.create(pod).await;
        if outcome.as_ref().map_or_else(is_refusal, |()| true) {
            self.memory.expectations.created(self.key, 1);
        } else {
            self.memory.expectations.doubt(self.key);
        }
        outcome.map_err(|source| {
            if is_namespace_terminating(&source) {
                return None;
            }
            Some(ReconcileError::Api { step: "creating a Pod", source })
        })
    }

    async fn delete(&self, pods: &[Arc<Pod>], untracked: bool, done: &mut Done) -> Failed {
        if untracked {
            let uids = pods.iter().map(|pod| uid(&pod.metadata).to_owned());
            self.memory.expectations.expect(self.key, 0, uids);
        }
        let outcomes = join_all(pods.iter().map(|pod| self.delete_one(pod, untracked))).await;
        let mut failed = None;
        for (pod, outcome) in pods.iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    done.active -= 1;
                    done.ready -= usize::from(is_ready(pod));
                    done.terminating += 1;
                }
                Err(error) => failed = Some(error),
            }
        }
        failed
    }

    async fn delete_one(&self, pod: &Pod, untracked: bool) -> Result<(), ReconcileError> {
        let uid = uid(&pod.metadata);
        let outcome = async {
            if untracked {
                // A Pod that ended meanwhile is to be counted.
                self.release_one(pod, true).await.step("taking the finalizer off a Pod")?;
            }
            self.hands.delete(pod).await.step("deleting a Pod")
        };
        match outcome.await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.memory.expectations.deleted(self.key, uid);
                Ok(())
            }
            Err(error) => {
                if error.is_unknown() {
                    self.memory.expectations.doubt(self.key);
                } else {
                    self.memory.expectations.deleted(self.key, uid);
                }
                Err(error)
            }
        }
    }

    /// Takes the finalizers off; tells off which Pods.
    async fn release(&self, pods: &[Arc<Pod>]) -> (HashSet<String>, Failed) {
        let outcomes = join_all(pods.iter().map(|pod| self.release_one(pod, false))).await;
        let (mut released, mut failed) = (HashSet::new(), None);
        for (pod, outcome) in pods.iter().zip(outcomes) {
            match outcome.step("taking the finalizer off a Pod") {
                Ok(()) => drop(released.insert(uid(&pod.metadata).to_owned())),
                Err(error) => failed = Some(error),
            }
        }
        (released, failed)
    }

    async fn release_one(&self, pod: &Pod, unchanged: bool) -> Result<(), kube::Error> {
        let uid = uid(&pod.metadata);
        self.memory.release(self.key, uid);
        match self.hands.release(pod, unchanged).await {
            // It stays released until the watch shows that it is gone.
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => {
                self.memory.forget_released(self.key, uid);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}
