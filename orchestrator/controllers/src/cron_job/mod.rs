//! CronJob: starts Jobs at certain times.
//!
//! Flow: look for active Jobs that are gone, decide ([`plan`]), delete old Jobs and those to be replaced, start the Job
//! that is due, write the status. It looks again exactly at the next time.
//!
//! Guarantees: a Job's name follows from the CronJob and its time, so that no time has two Jobs whatever is forgotten
//! between the start of a Job and the write of the status; a Job that was started before is only listed.

mod plan;
mod schedule;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::meta::{Key, controller_key, is_controlled_by, reference, uid};
use crate::runtime::delete::{Deleted, Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_already_exists, is_namespace_terminating, text};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};
use plan::{Plan, Told, plan};

/// See the module's documentation.
pub(crate) struct CronJobController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
}

impl Controller for CronJobController {
    const NAME: &'static str = "cronjob-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.cron_jobs.on_change(move |change| {
            if let Some(cron) = change.new {
                wake.add(Key::of(&**cron));
            }
        });
        let wake = queue.clone();
        context.caches.jobs.on_change(move |change| {
            for key in change.both().filter_map(|job| controller_key::<CronJob>(&job.metadata)) {
                wake.add(key);
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(cron) = self.caches.cron_jobs.get(key) else { return Ok(Next::OnChange) };
        let jobs = self.caches.jobs.managed_by(&key.namespace, uid(&cron.metadata));
        let mut plan = plan(&cron, &jobs, self.clock.now());
        for missing in plan.missing(&jobs) {
            if self.is_gone(key, &missing).await? {
                return self.drop_missing(key, &cron, &missing).await;
            }
        }
        for told in std::mem::take(&mut plan.events) {
            self.tell(&cron, told);
        }
        let acted = self.act(key, &cron, &mut plan).await;
        self.write(key, &cron, &plan).await?;
        acted?;
        Ok(plan.look_again.map_or(Next::OnChange, Next::After))
    }
}

impl CronJobController {
    fn jobs(&self, key: &Key) -> Api<Job> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn tell(&self, cron: &CronJob, Told { severity, reason, message }: Told) {
        let component = Self::NAME;
        self.recorder.event(reference(cron), Notice { component, severity, reason, message });
    }

    fn tell_normal(&self, cron: &CronJob, reason: &'static str, message: String) {
        self.tell(cron, Told { severity: Severity::Normal, reason, message });
    }

    /// Asks the API whether an active Job that the cache does not show is gone; the cache may be late.
    async fn is_gone(&self, key: &Key, active: &ObjectReference) -> Result<bool, ReconcileError> {
        let name = active.name.as_deref().unwrap_or_default();
        let found = self.jobs(key).get_metadata_opt(name).await.step("looking for an active Job")?;
        Ok(found.is_none_or(|found| found.metadata.uid != active.uid))
    }

    /// Takes a Job that is gone off the list. What follows from that is decided when the list is written.
    async fn drop_missing(
        &self,
        key: &Key,
        cron: &CronJob,
        missing: &ObjectReference,
    ) -> Result<Next, ReconcileError> {
        let mut plan = Plan { status: cron.status.clone().unwrap_or_default(), ..Plan::default() };
        plan.forget(missing.uid.as_deref().unwrap_or_default());
        let name = missing.name.as_deref().unwrap_or_default();
        self.tell_normal(cron, "MissingJob", format!("Active job went missing: {name}"));
        self.write(key, cron, &plan).await?;
        Ok(Next::OnChange)
    }

    async fn write(&self, key: &Key, cron: &CronJob, plan: &Plan) -> Result<(), ReconcileError> {
        if cron.status.clone().unwrap_or_default() == plan.status {
            return Ok(());
        }
        let mut changed = cron.clone();
        changed.status = Some(plan.status.clone());
        let api = Api::<CronJob>::namespaced(self.client.clone(), &key.namespace);
        let written = api.replace_status(&key.name, &PostParams::default(), &changed).await;
        self.caches.cron_jobs.note(written.step("writing the CronJob's status")?);
        Ok(())
    }

    /// Deletes and starts what the plan says, and says so in its status.
    async fn act(&self, key: &Key, cron: &CronJob, plan: &mut Plan) -> Result<(), ReconcileError> {
        for job in std::mem::take(&mut plan.delete) {
            self.delete(key, cron, &job.metadata).await?;
            plan.forget(uid(&job.metadata));
        }
        let Some((job, at)) = plan.start.take() else { return Ok(()) };
        for active in std::mem::take(&mut plan.replace) {
            let ObjectReference { name, uid, .. } = active.clone();
            self.delete(key, cron, &ObjectMeta { name, uid, ..ObjectMeta::default() }).await?;
            plan.forget(active.uid.as_deref().unwrap_or_default());
        }
        self.start(key, cron, plan, (&job, at)).await
    }

    async fn delete(&self, key: &Key, cron: &CronJob, job: &ObjectMeta) -> Result<(), ReconcileError> {
        match delete(&self.jobs(key), job, Only::This, DeleteParams::background()).await {
            Ok(Deleted::Missing) => {}
            Ok(_) => {
                let name = job.name.as_deref().unwrap_or_default();
                self.tell_normal(cron, "SuccessfulDelete", format!("Deleted job {name}"));
            }
            Err(error) => {
                let message = format!("Deleted job: {}", text(&error));
                self.tell(cron, Told { severity: Severity::Warning, reason: "FailedDelete", message });
                return Err(error).step("deleting a Job");
            }
        }
        Ok(())
    }

    async fn start(
        &self,
        key: &Key,
        cron: &CronJob,
        plan: &mut Plan,
        (job, at): (&Job, Timestamp),
    ) -> Result<(), ReconcileError> {
        match self.jobs(key).create(&PostParams::default(), job).await {
            Ok(started) => {
                self.tell_normal(cron, "SuccessfulCreate", format!("Created job {}", started.name_any()));
                plan.started(reference(&started), at);
            }
            Err(error) if is_already_exists(&error) => self.list_started(key, cron, plan, (job, at)).await?,
            Err(error) if is_namespace_terminating(&error) => {}
            Err(error) => {
                let message = format!("Error creating job: {}", text(&error));
                self.tell(cron, Told { severity: Severity::Warning, reason: "FailedCreate", message });
                return Err(error).step("creating a Job");
            }
        }
        Ok(())
    }

    /// Lists the Job that was started before, if it is ours.
    async fn list_started(
        &self,
        key: &Key,
        cron: &CronJob,
        plan: &mut Plan,
        (job, at): (&Job, Timestamp),
    ) -> Result<(), ReconcileError> {
        let found = self.jobs(key).get_opt(&job.name_any()).await.step("reading the Job that is there")?;
        let ours = found.filter(|found| is_controlled_by(&found.metadata, uid(&cron.metadata)));
        if let Some(found) = ours
            && plan.active().all(|active| active.uid != found.metadata.uid)
        {
            plan.started(reference(&found), at);
        }
        Ok(())
    }
}
