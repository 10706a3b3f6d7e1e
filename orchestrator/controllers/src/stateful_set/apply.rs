//! Carries out a plan and tells about it.

use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::plan::Action;
use super::{StatefulSetController, identity};
use crate::objects::meta::reference;
use crate::runtime::delete::{Deleted, Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_already_exists, is_namespace_terminating, text};
use crate::runtime::recorder::{Notice, Severity};
use crate::runtime::worker::Controller;

/// The most Pods written side by side.
const BATCH: usize = 500;

impl StatefulSetController {
    /// Writes all steps in order; the first failure ends it. Within a step Pods are written side by side: one, then two,
    /// four and so on.
    pub(super) async fn apply(
        &self,
        set: &StatefulSet,
        steps: Vec<Vec<Vec<Action>>>,
    ) -> Result<(), ReconcileError> {
        for step in steps {
            let (mut left, mut batch) = (step.as_slice(), 1);
            while !left.is_empty() {
                let (now, later) = left.split_at(batch.min(left.len()));
                let outcomes = join_all(now.iter().map(|actions| self.apply_all(set, actions))).await;
                outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
                left = later;
                batch = (batch * 2).min(BATCH);
            }
        }
        Ok(())
    }

    async fn apply_all(&self, set: &StatefulSet, actions: &[Action]) -> Result<(), ReconcileError> {
        for action in actions {
            match action {
                Action::Claim { pod, claim } => self.create_claim(set, pod, claim).await?,
                Action::Own { claim, owners } => {
                    let patch = json!({ "metadata": {
                        "uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version,
                        "ownerReferences": owners,
                    } });
                    let (name, params) = (claim.name_any(), PatchParams::default());
                    let written = self.claims_of(set).patch(&name, &params, &Patch::Merge(patch)).await;
                    let written =
                        written.map_err(|source| failed("writing the owners of a claim", source))?;
                    self.caches.persistent_volume_claims.note(written);
                }
                Action::Create(pod) => self.create_pod(set, pod).await?,
                Action::Update(pod) => self.update_pod(set, pod).await?,
                Action::Delete(pod) => self.delete_pod(set, pod).await?,
            }
        }
        Ok(())
    }

    async fn create_claim(
        &self,
        set: &StatefulSet,
        pod: &str,
        claim: &PersistentVolumeClaim,
    ) -> Result<(), ReconcileError> {
        let (name, owner) = (claim.name_any(), set.name_any());
        match self.claims_of(set).create(&PostParams::default(), claim).await {
            Ok(created) => {
                let message = format!("create Claim {name} Pod {pod} in StatefulSet {owner} success");
                self.tell(set, Severity::Normal, "SuccessfulCreate", message);
                self.caches.persistent_volume_claims.note(created);
                Ok(())
            }
            Err(error) => {
                let said = text(&error);
                let message =
                    format!("create Claim {name} for Pod {pod} in StatefulSet {owner} failed error: {said}");
                self.tell(set, Severity::Warning, "FailedCreate", message);
                Err(failed("creating a claim", error))
            }
        }
    }

    async fn create_pod(&self, set: &StatefulSet, pod: &Pod) -> Result<(), ReconcileError> {
        match self.pods_of(set).create(&PostParams::default(), pod).await {
            Ok(created) => {
                self.tell_pod(set, pod, "create", None);
                self.caches.pods.note(created);
                Ok(())
            }
            // The cache lags, or the one before is still going; its change wakes us.
            Err(error) if is_already_exists(&error) || is_namespace_terminating(&error) => Ok(()),
            Err(error) => {
                self.tell_pod(set, pod, "create", Some(&error));
                Err(failed("creating a Pod", error))
            }
        }
    }

    /// Gives a Pod the labels and claims of its ordinal.
    async fn update_pod(&self, set: &StatefulSet, pod: &Pod) -> Result<(), ReconcileError> {
        let name = pod.name_any();
        // The cache does not hold all of it.
        let live = self.pods_of(set).get_opt(&name).await.step("reading a Pod")?;
        let live = live.filter(|live| live.metadata.uid == pod.metadata.uid);
        let Some((mut live, ordinal)) = live.zip(identity::ordinal(set, pod)) else { return Ok(()) };
        identity::identify(set, &mut live, ordinal);
        match self.pods_of(set).replace(&name, &PostParams::default(), &live).await {
            Ok(written) => {
                self.tell_pod(set, pod, "update", None);
                self.caches.pods.note(written);
                Ok(())
            }
            Err(error) => {
                self.tell_pod(set, pod, "update", Some(&error));
                Err(failed("writing a Pod", error))
            }
        }
    }

    async fn delete_pod(&self, set: &StatefulSet, pod: &Pod) -> Result<(), ReconcileError> {
        match delete(&self.pods_of(set), &pod.metadata, Only::This, DeleteParams::default()).await {
            Ok(Deleted::Missing) => Ok(()),
            Ok(deleted) => {
                self.tell_pod(set, pod, "delete", None);
                // What is seen next must count it as going.
                if let Deleted::Going(going) = deleted
                    && going.metadata.deletion_timestamp.is_some()
                {
                    self.caches.pods.note(*going);
                }
                Ok(())
            }
            Err(error) => {
                self.tell_pod(set, pod, "delete", Some(&error));
                Err(failed("deleting a Pod", error))
            }
        }
    }

    fn tell_pod(&self, set: &StatefulSet, pod: &Pod, verb: &'static str, error: Option<&kube::Error>) {
        let (pod, owner) = (pod.name_any(), set.name_any());
        let (severity, ended) = match error {
            None => (Severity::Normal, "successful".to_owned()),
            Some(error) => (Severity::Warning, format!("failed error: {}", text(error))),
        };
        let reason = match (verb, error.is_some()) {
            ("create", false) => "SuccessfulCreate",
            ("create", true) => "FailedCreate",
            ("update", false) => "SuccessfulUpdate",
            ("update", true) => "FailedUpdate",
            (_, false) => "SuccessfulDelete",
            (_, true) => "FailedDelete",
        };
        self.tell(set, severity, reason, format!("{verb} Pod {pod} in StatefulSet {owner} {ended}"));
    }

    fn tell(&self, set: &StatefulSet, severity: Severity, reason: &'static str, message: String) {
        self.recorder.event(reference(set), Notice { component: Self::NAME, severity, reason, message });
    }

    fn pods_of(&self, set: &StatefulSet) -> Api<Pod> {
        Api::namespaced(self.history.client.clone(), &set.namespace().unwrap_or_default())
    }

    fn claims_of(&self, set: &StatefulSet) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.history.client.clone(), &set.namespace().unwrap_or_default())
    }
}

fn failed(step: &'static str, source: kube::Error) -> ReconcileError {
    ReconcileError::Api { step, source }
}
