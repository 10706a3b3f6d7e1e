//! The revision of a DaemonSet's template, which its Pods bear as a label.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::DaemonSetController;
use crate::objects::history::{self, Created, POD_REVISION, Snapshot};
use crate::objects::meta::labels;
use crate::objects::template;
use crate::runtime::error::{ReconcileError, Step};

/// The revisions of the current template, and the number the current one has to have.
fn divide(set: &DaemonSet, all: &[Arc<ControllerRevision>]) -> (Vec<Arc<ControllerRevision>>, i64) {
    let snapshot = Snapshot::of(&set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default());
    let (current, old): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|revision| snapshot.is_in(revision));
    let number = old.iter().map(|revision| revision.revision).max().unwrap_or(0) + 1;
    (current, number)
}

impl DaemonSetController {
    /// The revision of the set's template: made, renumbered or rid of doubles if need be.
    pub(super) async fn revision(
        &self,
        set: &DaemonSet,
        all: &[Arc<ControllerRevision>],
        pods: &[Arc<Pod>],
    ) -> Result<Arc<ControllerRevision>, ReconcileError> {
        let (mut current, number) = divide(set, all);
        let Some(kept) = current.pop() else { return self.create_revision(set, number).await };
        let is_labelled = labels(&kept.metadata).contains_key(POD_REVISION);
        let kept = if is_labelled && kept.revision >= number {
            kept
        } else {
            let mut changed = (*kept).clone();
            changed.revision = changed.revision.max(number);
            let name = changed.name_any();
            changed.metadata.labels.get_or_insert_default().entry(POD_REVISION.to_owned()).or_insert(name);
            self.history.update(&changed).await?
        };
        for double in current {
            self.drop_double(&double, &kept, pods).await?;
        }
        Ok(kept)
    }

    async fn create_revision(
        &self,
        set: &DaemonSet,
        number: i64,
    ) -> Result<Arc<ControllerRevision>, ReconcileError> {
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let mut revision = history::revision_of(set, &template, number);
        history::name(&mut revision, &set.name_any(), &template::hash(&template, collisions), POD_REVISION);
        match self.history.create(&revision).await? {
            Created::Is(created) => Ok(created),
            Created::Collides => {
                let mut changed = set.clone();
                changed.status.get_or_insert_default().collision_count = Some(collisions.unwrap_or(0) + 1);
                let written =
                    self.api(set).replace_status(&set.name_any(), &PostParams::default(), &changed).await;
                self.caches.daemon_sets.note(written.step("counting a collision of names")?);
                Err(ReconcileError::NotReady { what: "a name for the revision" })
            }
        }
    }

    /// Gives the Pods of a revision that says the same to the one that is kept, and deletes it.
    async fn drop_double(
        &self,
        double: &ControllerRevision,
        kept: &ControllerRevision,
        pods: &[Arc<Pod>],
    ) -> Result<(), ReconcileError> {
        let hash = |revision: &ControllerRevision| labels(&revision.metadata).get(POD_REVISION).cloned();
        for pod in pods.iter().filter(|pod| labels(&pod.metadata).get(POD_REVISION) == hash(double).as_ref())
        {
            let patch = json!({ "metadata": { "uid": pod.uid(), "labels": { POD_REVISION: hash(kept) } } });
            let api =
                Api::<Pod>::namespaced(self.history.client.clone(), &pod.namespace().unwrap_or_default());
            let written = api.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
            self.caches.pods.note(written.step("labelling a Pod with its revision")?);
        }
        self.history.delete(double).await
    }
}
