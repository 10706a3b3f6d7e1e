//! Creates and deletes the Pods of an owner, keeping expectations and telling about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use super::meta::{Key, controller_reference, reference, uid};
use super::pods::is_terminating;
use crate::context::Context;
use crate::runtime::cache::Cache;
use crate::runtime::delete::{Deleted, Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_namespace_terminating, is_refusal, text};
use crate::runtime::expectations::Expectations;
use crate::runtime::recorder::{Notice, Recorder, Severity};

/// See the module's documentation.
pub(crate) struct PodControl {
    pub(crate) client: Client,
    /// Where whoever counts Pods looks.
    cache: Cache<Pod>,
    pub(crate) recorder: Recorder,
    pub(crate) expectations: Arc<Expectations>,
    /// Who tells of it in events.
    component: &'static str,
}

/// What kept the number of Pods from being right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

type Failed = (Failure, ReconcileError);

impl PodControl {
    pub(crate) fn new(context: &Context, expectations: Arc<Expectations>, component: &'static str) -> Self {
        Self {
            client: context.client.clone(),
            cache: context.caches.pods.clone(),
            recorder: context.recorder.clone(),
            expectations,
            component,
        }
    }

    /// Creates and deletes Pods of `owner`; returns what failed first, if anything did.
    pub(crate) async fn sync<O>(&self, owner: &O, creates: &[&Pod], deletes: &[Arc<Pod>]) -> Option<Failed>
    where
        O: Resource<DynamicType = ()>,
    {
        if creates.is_empty() && deletes.is_empty() {
            return None;
        }
        let key = Key::of(owner);
        let uids = deletes.iter().map(|pod| uid(&pod.metadata).to_owned());
        self.expectations.expect(&key, creates.len(), uids);
        let created = self.create(&key, owner, creates).await;
        let deleted = join_all(deletes.iter().map(|pod| self.delete_one(&key, owner, pod))).await;
        created.into_iter().chain(deleted.into_iter().flatten()).next()
    }

    /// How long until Pods may be counted, if not now: see [`waits`].
    pub(crate) async fn waits(&self, key: &Key) -> Result<Option<Duration>, ReconcileError> {
        waits(&self.expectations, key, &self.client, &self.cache).await
    }

    /// Creates in batches of 1, 2, 4, ... until all are there or some failed.
    async fn create<O>(&self, key: &Key, owner: &O, pods: &[&Pod]) -> Vec<Failed>
    where
        O: Resource<DynamicType = ()>,
    {
        let (mut left, mut batch) = (pods, 1);
        while !left.is_empty() {
            let (now, later) = left.split_at(batch.min(left.len()));
            let outcomes = join_all(now.iter().map(|pod| self.create_one(key, owner, pod))).await;
            left = later;
            batch *= 2;
            if outcomes.iter().any(Result::is_err) {
                self.expectations.created(key, left.len());
                return outcomes.into_iter().filter_map(Result::err).flatten().collect();
            }
        }
        Vec::new()
    }

    /// `Err(None)` is a refusal that needs neither a retry nor a complaint.
    async fn create_one<O>(&self, key: &Key, owner: &O, pod: &Pod) -> Result<(), Option<Failed>>
    where
        O: Resource<DynamicType = ()>,
    {
        let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), pod).await {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name_any());
                self.cache.note(created);
                self.expectations.created(key, 1);
                self.tell(owner, Severity::Normal, "SuccessfulCreate", message);
                Ok(())
            }
            Err(error) => {
                if is_refusal(&error) {
                    self.expectations.created(key, 1);
                } else {
                    self.expectations.doubt(key);
                }
                if is_namespace_terminating(&error) {
                    return Err(None);
                }
                let message = format!("Error creating: {}", text(&error));
                self.tell(owner, Severity::Warning, "FailedCreate", message);
                Err(Some(failed("FailedCreate", "creating a Pod", error)))
            }
        }
    }

    async fn delete_one<O>(&self, key: &Key, owner: &O, pod: &Pod) -> Option<Failed>
    where
        O: Resource<DynamicType = ()>,
    {
        let (name, uid) = (pod.name_any(), uid(&pod.metadata));
        let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
        match delete(&api, &pod.metadata, Only::This, DeleteParams::default()).await {
            Ok(Deleted::Missing) => {
                self.expectations.deleted(key, uid);
                None
            }
            Ok(_) => {
                self.tell(owner, Severity::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
                None
            }
            Err(error) => {
                if is_refusal(&error) {
                    self.expectations.deleted(key, uid);
                } else {
                    self.expectations.doubt(key);
                }
                let message = format!("Error deleting: {}", text(&error));
                self.tell(owner, Severity::Warning, "FailedDelete", message);
                Some(failed("FailedDelete", "deleting a Pod", error))
            }
        }
    }

    fn tell<O>(&self, owner: &O, severity: Severity, reason: &'static str, message: String)
    where
        O: Resource<DynamicType = ()>,
    {
        self.recorder
            .event(reference(owner), Notice { component: self.component, severity, reason, message });
    }
}

/// How long until the Pods of a key may be counted, if not now. To be asked before they are looked at: what is seen to have
/// happened afterwards is not among them.
pub(crate) async fn waits(
    expectations: &Expectations,
    key: &Key,
    client: &Client,
    cache: &Cache<Pod>,
) -> Result<Option<Duration>, ReconcileError> {
    if expectations.is_doubtful(key) {
        find_out(expectations, key, client, cache).await.step("finding out which Pods there are")?;
    }
    Ok(expectations.open(key))
}

/// Asks what there is after an answer was lost, so that nobody waits for what did not happen.
async fn find_out(
    expectations: &Expectations,
    key: &Key,
    client: &Client,
    cache: &Cache<Pod>,
) -> Result<(), kube::Error> {
    let api = Api::<Pod>::namespaced(client.clone(), &key.namespace);
    let listed = api.list(&ListParams::default()).await?;
    let stay =
        listed.items.iter().filter(|pod| !is_terminating(pod)).map(|pod| uid(&pod.metadata).to_owned());
    let stay: Vec<_> = stay.collect();
    cache.note_all(listed.items);
    expectations.created(key, usize::MAX);
    for uid in &stay {
        expectations.deleted(key, uid);
    }
    Ok(())
}

fn failed(reason: &'static str, step: &'static str, source: kube::Error) -> Failed {
    (Failure { reason, message: text(&source) }, ReconcileError::Api { step, source })
}

/// A new Pod of a template, managed by `owner` and named after it by the API server.
pub(crate) fn pod_of<O: Resource<DynamicType = ()>>(owner: &O, template: Option<&PodTemplateSpec>) -> Pod {
    let PodTemplateSpec { metadata, spec } = template.cloned().unwrap_or_default();
    let from = metadata.unwrap_or_default();
    let not_empty = |map: Option<BTreeMap<String, String>>| map.filter(|map| !map.is_empty());
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", owner.meta().name.as_deref().unwrap_or_default())),
        namespace: owner.meta().namespace.clone(),
        labels: not_empty(from.labels),
        annotations: not_empty(from.annotations),
        finalizers: from.finalizers,
        owner_references: Some(vec![controller_reference(owner)]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec, status: None }
}
