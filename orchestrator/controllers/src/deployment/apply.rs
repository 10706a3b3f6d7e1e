//! Carries out a plan, one write after the other.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::DeploymentController;
use super::conditions::{CREATE_FAILED, has_deadline, set};
use super::model::{has_template, replicas};
use super::plan::Action;
use super::revision::REVISION;
use crate::objects::meta::{is_controlled_by, reference, uid};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_already_exists, is_namespace_terminating, text};
use crate::runtime::recorder::{Notice, Severity};
use crate::runtime::worker::Controller;

impl DeploymentController {
    /// Writes all actions in order; the first failure ends it.
    pub(super) async fn apply(
        &self,
        deployment: &Deployment,
        actions: Vec<Action>,
    ) -> Result<(), ReconcileError> {
        let mut current = deployment.clone();
        for action in actions {
            match action {
                Action::Create(set) => self.create(&current, &set).await?,
                Action::Update { set, scaled_from } => self.update(&current, &set, scaled_from).await?,
                Action::Delete(set) => self.delete(&set).await?,
                Action::Revision(revision) => current = self.write_revision(&current, &revision).await?,
                Action::Status(status) => current = self.write_status(&current, *status).await?,
            }
        }
        Ok(())
    }

    async fn create(&self, deployment: &Deployment, set: &ReplicaSet) -> Result<(), ReconcileError> {
        match self.sets(deployment).create(&PostParams::default(), set).await {
            Ok(created) => {
                if replicas(&created) > 0 {
                    self.tell_scaled(deployment, &created, 0);
                }
                self.caches.replica_sets.note(created);
                Ok(())
            }
            Err(error) if is_already_exists(&error) => self.resolve_collision(deployment, set, error).await,
            Err(error) => Err(self.creation_failed(deployment, set, error).await),
        }
    }

    /// A set of that name exists: ours if an earlier reply was lost, else another template has the same hash.
    async fn resolve_collision(
        &self,
        deployment: &Deployment,
        set: &ReplicaSet,
        error: kube::Error,
    ) -> Result<(), ReconcileError> {
        let found =
            self.sets(deployment).get(&set.name_any()).await.step("reading a ReplicaSet of the same name")?;
        let is_ours = is_controlled_by(&found.metadata, uid(&deployment.metadata));
        if is_ours && has_template(deployment, &found) {
            self.caches.replica_sets.note(found);
        } else {
            let mut status = deployment.status.clone().unwrap_or_default();
            status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
            self.write_status(deployment, status).await?;
        }
        Err(ReconcileError::Api { step: "creating a ReplicaSet", source: error })
    }

    /// Writes down why the set could not be created, and returns it as the run's error.
    async fn creation_failed(
        &self,
        deployment: &Deployment,
        set_wanted: &ReplicaSet,
        error: kube::Error,
    ) -> ReconcileError {
        if is_namespace_terminating(&error) {
            return ReconcileError::Api { step: "creating a ReplicaSet", source: error };
        }
        let message =
            format!("Failed to create new replica set \"{}\": {}", set_wanted.name_any(), text(&error));
        self.tell(deployment, Severity::Warning, CREATE_FAILED, message.clone());
        if has_deadline(deployment) {
            let now = Time(self.clock.now());
            let mut status = deployment.status.clone().unwrap_or_default();
            let condition = DeploymentCondition {
                type_: "Progressing".to_owned(),
                status: "False".to_owned(),
                reason: Some(CREATE_FAILED.to_owned()),
                message: Some(message),
                last_update_time: Some(now.clone()),
                last_transition_time: Some(now),
            };
            set(status.conditions.get_or_insert_default(), condition);
            if deployment.status.as_ref() != Some(&status)
                && let Err(error) = self.write_status(deployment, status).await
            {
                return error;
            }
        }
        ReconcileError::Api { step: "creating a ReplicaSet", source: error }
    }

    async fn update(
        &self,
        deployment: &Deployment,
        set: &ReplicaSet,
        scaled_from: Option<i32>,
    ) -> Result<(), ReconcileError> {
        let written = self.sets(deployment).replace(&set.name_any(), &PostParams::default(), set).await;
        let written = written.step("writing a ReplicaSet")?;
        if let Some(from) = scaled_from {
            self.tell_scaled(deployment, &written, from);
        }
        self.caches.replica_sets.note(written);
        Ok(())
    }

    async fn delete(&self, set: &ReplicaSet) -> Result<(), ReconcileError> {
        let api = Api::<ReplicaSet>::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let deleted = delete(&api, &set.metadata, Only::Unchanged, DeleteParams::background()).await;
        deleted.step("deleting an old ReplicaSet").map(drop)
    }

    async fn write_revision(
        &self,
        deployment: &Deployment,
        revision: &str,
    ) -> Result<Deployment, ReconcileError> {
        let patch = json!({ "metadata": {
            "annotations": { REVISION: revision },
            "resourceVersion": deployment.metadata.resource_version,
        } });
        let written = self
            .deployments(deployment)
            .patch(&deployment.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .step("writing the revision")?;
        self.caches.deployments.note(written.clone());
        Ok(written)
    }

    async fn write_status(
        &self,
        deployment: &Deployment,
        status: DeploymentStatus,
    ) -> Result<Deployment, ReconcileError> {
        let changed = Deployment { status: Some(status), ..deployment.clone() };
        let written = self
            .deployments(deployment)
            .replace_status(&deployment.name_any(), &PostParams::default(), &changed)
            .await
            .step("writing the Deployment's status")?;
        self.caches.deployments.note(written.clone());
        Ok(written)
    }

    fn tell_scaled(&self, deployment: &Deployment, set: &ReplicaSet, from: i32) {
        let to = replicas(set);
        let direction = if to > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.name_any());
        self.tell(deployment, Severity::Normal, "ScalingReplicaSet", message);
    }

    fn tell(&self, deployment: &Deployment, severity: Severity, reason: &'static str, message: String) {
        let notice = Notice { component: Self::NAME, severity, reason, message };
        self.recorder.event(reference(deployment), notice);
    }

    fn deployments(&self, deployment: &Deployment) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &deployment.namespace().unwrap_or_default())
    }

    fn sets(&self, deployment: &Deployment) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &deployment.namespace().unwrap_or_default())
    }
}
