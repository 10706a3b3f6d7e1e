//! The writes about Jobs and their Pods, through the API.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::JobController;
use super::drive::Hands;
use super::verdict::Verdict;
use crate::context::Caches;
use crate::objects::claim::JOB_TRACKING;
use crate::objects::meta::reference;
use crate::runtime::delete::{Deleted, Only, delete};
use crate::runtime::error::{is_conflict, is_namespace_terminating, text};
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::Controller;

/// Writes about one Job.
pub(super) struct ApiHands<'a> {
    pub(super) client: &'a Client,
    pub(super) caches: &'a Arc<Caches>,
    pub(super) recorder: &'a Recorder,
    pub(super) job: &'a Job,
}

impl ApiHands<'_> {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.job.metadata.namespace.as_deref().unwrap_or_default())
    }

    fn tell(&self, job: &Job, severity: Severity, reason: &'static str, message: String) {
        let component = JobController::NAME;
        self.recorder.event(reference(job), Notice { component, severity, reason, message });
    }
}

impl Hands for ApiHands<'_> {
    async fn create(&self, pod: &Pod) -> Result<(), kube::Error> {
        match self.pods().create(&PostParams::default(), pod).await {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name_any());
                self.caches.pods.note(created);
                self.tell(self.job, Severity::Normal, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                if !is_namespace_terminating(&error) {
                    let message = format!("Error creating: {}", text(&error));
                    self.tell(self.job, Severity::Warning, "FailedCreate", message);
                }
                Err(error)
            }
        }
    }

    async fn delete(&self, pod: &Pod) -> Result<bool, kube::Error> {
        match delete(&self.pods(), &pod.metadata, Only::This, DeleteParams::default()).await {
            Ok(Deleted::Missing) => Ok(false),
            Ok(_) => {
                let message = format!("Deleted pod: {}", pod.name_any());
                self.tell(self.job, Severity::Normal, "SuccessfulDelete", message);
                Ok(true)
            }
            Err(error) => {
                if !is_conflict(&error) {
                    let message = format!("Error deleting: {}", text(&error));
                    self.tell(self.job, Severity::Warning, "FailedDelete", message);
                }
                Err(error)
            }
        }
    }

    async fn release(&self, pod: &Pod, unchanged: bool) -> Result<(), kube::Error> {
        release(self.client, self.caches, pod, unchanged).await
    }

    async fn write(&self, job: &Job) -> Result<Job, kube::Error> {
        let api = Api::<Job>::namespaced(
            self.client.clone(),
            job.metadata.namespace.as_deref().unwrap_or_default(),
        );
        let written = api.replace_status(&job.name_any(), &PostParams::default(), job).await?;
        self.caches.jobs.note(written.clone());
        Ok(written)
    }

    fn tell_suspension(&self, job: &Job, suspended: bool) {
        let (reason, message) =
            if suspended { ("Suspended", "Job suspended") } else { ("Resumed", "Job resumed") };
        self.tell(job, Severity::Normal, reason, message.to_owned());
    }

    fn tell_end(&self, job: &Job, verdict: &Verdict) {
        if !verdict.success {
            return self.tell(job, Severity::Warning, verdict.event(), verdict.message.clone());
        }
        let (spec, status) = (job.spec.as_ref(), job.status.as_ref());
        let wanted = spec.and_then(|spec| spec.completions);
        if wanted.is_some_and(|wanted| status.and_then(|status| status.succeeded).unwrap_or(0) > wanted) {
            let message = "Too many succeeded pods running after completion count reached".to_owned();
            self.tell(job, Severity::Warning, "TooManySucceededPods", message);
        }
        self.tell(job, Severity::Normal, "Completed", "Job completed".to_owned());
    }
}

/// Takes the finalizer off a Pod, if asked only when it is still what the cache shows.
pub(super) async fn release(
    client: &Client,
    caches: &Caches,
    pod: &Pod,
    unchanged: bool,
) -> Result<(), kube::Error> {
    let mut metadata =
        json!({ "uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [JOB_TRACKING] });
    if unchanged {
        metadata["resourceVersion"] = json!(pod.metadata.resource_version);
    }
    let patch = Patch::Strategic(json!({ "metadata": metadata }));
    let api = Api::<Pod>::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let released = api.patch(&pod.name_any(), &PatchParams::default(), &patch).await?;
    caches.pods.note(released);
    Ok(())
}
