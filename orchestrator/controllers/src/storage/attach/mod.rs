//! Attaches volumes to nodes and detaches them: a VolumeAttachment says that a volume is to be attached to a node, and the
//! controller of its driver does the rest.
//!
//! # Guarantees
//! - A volume is attached where a Pod that has a node mounts it, unless its driver wants none of that (`attachRequired`).
//! - It is detached when no Pod needs it there and the node does not name it as in use; of a node that does not answer this is
//!   waited for six minutes, of one that is gone or has the taint `out-of-service` not at all.
//! - A volume that is for one node at a time is attached to another only after it was detached.
//! - A Node names as attached what is attached, and nothing any more that is about to be detached.

mod needs;
mod plan;
#[cfg(test)]
mod plan_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{AttachedVolume, Node, Pod};
use k8s_openapi::api::storage::v1::{VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use super::facts::claims_of;
use crate::context::{Caches, Context};
use crate::objects::meta::reference;
use crate::runtime::cache::{Cache, Change};
use crate::runtime::error::{ReconcileError, Step, is_already_exists, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};
use needs::{Need, needs};
use plan::{Plan, World, plan};

/// Looks at all volumes at once: there are few, and one may wait for another.
pub(crate) struct AttachDetachController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
    /// Since when volumes are in use that no Pod needs, by the names of their attachments.
    unneeded: Mutex<BTreeMap<String, Timestamp>>,
    /// What Pods were told that still holds, by their uids.
    told: Mutex<BTreeSet<(String, String)>>,
}

impl Controller for AttachDetachController {
    const NAME: &'static str = "attachdetach-controller";
    type Key = ();

    fn new(context: &Context, queue: &Arc<Queue<()>>) -> Self {
        let caches = &context.caches;
        wake_on(&caches.pods, queue, |change| change.both().any(|pod| claims_of(pod).next().is_some()));
        wake_on(&caches.persistent_volume_claims, queue, |_| true);
        wake_on(&caches.persistent_volumes, queue, |_| true);
        wake_on(&caches.csi_drivers, queue, |_| true);
        wake_on(&caches.volume_attachments, queue, |_| true);
        wake_on(&caches.nodes, queue, |change| {
            change.old.map(|node| plan::said(node)) != change.new.map(|node| plan::said(node))
        });
        Self {
            client: context.client.clone(),
            caches: caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
            unneeded: Mutex::default(),
            told: Mutex::default(),
        }
    }

    async fn reconcile(&self, (): &()) -> Result<Next, ReconcileError> {
        let caches = &self.caches;
        let world = World {
            needs: needs(caches),
            attachments: caches.volume_attachments.all(),
            nodes: caches.nodes.all(),
            volumes: caches.persistent_volumes.all(),
        };
        let plan = plan(&world, &mut self.unneeded.lock(), self.clock.now());
        self.tell(&plan);
        for (node, volumes) in &plan.report {
            self.report(node, volumes).await?;
        }
        for need in &plan.attach {
            self.attach(need).await?;
        }
        for attachment in &plan.detach {
            self.detach(attachment).await?;
        }
        Ok(plan.look_again.map_or(Next::OnChange, Next::After))
    }
}

fn wake_on<K: kube::ResourceExt + 'static>(
    cache: &Cache<K>,
    queue: &Arc<Queue<()>>,
    concerns: impl Fn(&Change<'_, K>) -> bool + Send + Sync + 'static,
) {
    let wake = queue.clone();
    cache.on_change(move |change| {
        if concerns(change) {
            wake.add(());
        }
    });
}

impl AttachDetachController {
    async fn attach(&self, need: &Need) -> Result<(), ReconcileError> {
        let attachment = VolumeAttachment {
            metadata: ObjectMeta { name: Some(need.attachment()), ..ObjectMeta::default() },
            spec: VolumeAttachmentSpec {
                attacher: need.driver.clone(),
                node_name: need.node.clone(),
                source: VolumeAttachmentSource {
                    persistent_volume_name: Some(need.volume.clone()),
                    inline_volume_spec: None,
                },
            },
            status: None,
        };
        let api: Api<VolumeAttachment> = Api::all(self.client.clone());
        match api.create(&PostParams::default(), &attachment).await {
            Err(error) if is_already_exists(&error) => Ok(()),
            made => {
                self.caches.volume_attachments.note(made.step("attaching a volume")?);
                Ok(())
            }
        }
    }

    async fn detach(&self, attachment: &VolumeAttachment) -> Result<(), ReconcileError> {
        let api: Api<VolumeAttachment> = Api::all(self.client.clone());
        let only = Preconditions { uid: attachment.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
        match api.delete(&attachment.name_any(), &params).await {
            Err(error) if is_not_found(&error) => Ok(()),
            deleted => deleted.step("detaching a volume").map(drop),
        }
    }

    /// Writes into the Node what is attached to it.
    async fn report(&self, node: &str, volumes: &BTreeSet<String>) -> Result<(), ReconcileError> {
        let one = |name: &String| AttachedVolume { name: name.clone(), device_path: String::new() };
        let attached: Vec<_> = volumes.iter().map(one).collect();
        let patch = Patch::Merge(json!({ "status": { "volumesAttached": attached } }));
        let api: Api<Node> = Api::all(self.client.clone());
        match api.patch_status(node, &PatchParams::default(), &patch).await {
            Err(error) if is_not_found(&error) => Ok(()),
            written => {
                self.caches.nodes.note(written.step("naming the volumes of a node")?);
                Ok(())
            }
        }
    }

    /// Tells Pods what is new about their volumes.
    fn tell(&self, plan: &Plan) {
        let key = |pod: &Pod, message: &str| (pod.uid().unwrap_or_default(), message.to_owned());
        let now = plan.tell.iter().map(|(pod, _, _, message)| key(pod, message)).collect();
        let before = std::mem::replace(&mut *self.told.lock(), now);
        for (pod, severity, reason, message) in &plan.tell {
            if !before.contains(&key(pod, message)) {
                let (severity, message) = (*severity, message.clone());
                let notice = Notice { component: Self::NAME, severity, reason, message };
                self.recorder.event(reference(&**pod), notice);
            }
        }
    }
}

/// A word for an event, and how bad it is.
const ATTACHED: (Severity, &str) = (Severity::Normal, "SuccessfulAttachVolume");
const NOT_ATTACHED: (Severity, &str) = (Severity::Warning, "FailedAttachVolume");
