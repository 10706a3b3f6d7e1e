//! Creates and deletes Pods, keeping expectations and telling about it.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};

use super::ReplicaSetController;
use super::plan::Decision;
use super::status::Failure;
use crate::objects::meta::{Key, reference, uid};
use crate::runtime::error::{
    ReconcileError, is_conflict, is_namespace_terminating, is_not_found, is_refusal,
};
use crate::runtime::recorder::{Notice, Severity};
use crate::runtime::worker::Controller;

type Failed = (Failure, ReconcileError);

impl ReplicaSetController {
    /// Carries out the decision; returns what failed, if anything did.
    pub(super) async fn apply(&self, key: &Key, set: &ReplicaSet, decided: &Decision) -> Option<Failed> {
        match decided {
            Decision::Nothing => None,
            Decision::Create { count, pod } => self.create(key, set, pod, *count).await,
            Decision::Delete(pods) => self.delete(key, set, pods).await,
        }
    }

    /// Creates in batches of 1, 2, 4, ... until all are there or one failed.
    async fn create(&self, key: &Key, set: &ReplicaSet, pod: &Pod, count: usize) -> Option<Failed> {
        self.expectations.expect_creates(key, count);
        let (mut left, mut batch) = (count, 1);
        while left > 0 {
            let size = batch.min(left);
            let outcomes = join_all((0..size).map(|_| self.create_one(key, set, pod))).await;
            left -= size;
            batch *= 2;
            if let Some(failed) = outcomes.into_iter().find_map(Result::err) {
                self.expectations.created(key, left);
                return failed;
            }
        }
        None
    }

    /// `Err(None)` is a refusal that needs neither a retry nor a complaint.
    async fn create_one(&self, key: &Key, set: &ReplicaSet, pod: &Pod) -> Result<(), Option<Failed>> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), pod).await {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name_any());
                self.tell(set, Severity::Normal, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                if is_refusal(&error) {
                    self.expectations.created(key, 1);
                }
                if is_namespace_terminating(&error) {
                    return Err(None);
                }
                self.tell(
                    set,
                    Severity::Warning,
                    "FailedCreate",
                    format!("Error creating: {}", text(&error)),
                );
                Err(Some(failed("FailedCreate", "creating a Pod", error)))
            }
        }
    }

    async fn delete(&self, key: &Key, set: &ReplicaSet, pods: &[Arc<Pod>]) -> Option<Failed> {
        let uids = pods.iter().map(|pod| uid(&pod.metadata).to_owned());
        self.expectations.expect_deletes(key, uids);
        let outcomes = join_all(pods.iter().map(|pod| self.delete_one(key, set, pod))).await;
        outcomes.into_iter().flatten().next()
    }

    async fn delete_one(&self, key: &Key, set: &ReplicaSet, pod: &Pod) -> Option<Failed> {
        let (name, uid) = (pod.name_any(), uid(&pod.metadata));
        let only_this = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
        match api.delete(&name, &DeleteParams::default().preconditions(only_this)).await {
            Ok(_) => {
                self.tell(set, Severity::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
                None
            }
            Err(error) if is_not_found(&error) || is_conflict(&error) => {
                self.expectations.deleted(key, uid);
                None
            }
            Err(error) => {
                if is_refusal(&error) {
                    self.expectations.deleted(key, uid);
                }
                self.tell(
                    set,
                    Severity::Warning,
                    "FailedDelete",
                    format!("Error deleting: {}", text(&error)),
                );
                Some(failed("FailedDelete", "deleting a Pod", error))
            }
        }
    }

    fn tell(&self, set: &ReplicaSet, severity: Severity, reason: &'static str, message: String) {
        self.recorder.event(reference(set), Notice { component: Self::NAME, severity, reason, message });
    }
}

fn failed(reason: &'static str, step: &'static str, source: kube::Error) -> Failed {
    (Failure { reason, message: text(&source) }, ReconcileError::Api { step, source })
}

/// What the API said, as a user should read it.
fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
