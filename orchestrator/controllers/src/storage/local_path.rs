//! The built-in provisioner: a volume is a directory of the node that the scheduler chose for the first Pod.
//!
//! Flow: the binder asks for the volume of a claim, as an object; the node named in it makes the directory when a Pod mounts
//! it, and removes it when the volume is deleted, which a finalizer waits for. [`AbandonedVolumesController`] takes that
//! finalizer off volumes whose node is gone, for nobody else would.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    LocalVolumeSource, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use wherry_api::local_path::{DIRECTORY, FINALIZER, HOSTNAME, NODE, PROVISIONER, path};

use super::facts::{BOUND_BY_CONTROLLER, PROVISIONED_BY, annotation, has_finalizer, is_going, requested};
use crate::context::{Caches, Context};
use crate::objects::meta::{labels, reference, uid};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// Access modes a directory of one node can have.
const MODES: [&str; 2] = ["ReadWriteOnce", "ReadWriteOncePod"];

/// The name of the volume that is made for a claim.
pub(super) fn name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", uid(&claim.metadata))
}

/// Why there can be no such volume for a claim.
pub(super) fn refuse(claim: &PersistentVolumeClaim, class: &StorageClass) -> Option<String> {
    let spec = claim.spec.as_ref()?;
    let is_other_mode = |mode: &String| !MODES.contains(&mode.as_str());
    let only_csi = |what: &str| {
        format!(
            "plugin {PROVISIONER:?} is not a CSI plugin. Only CSI plugin can provision a claim with a {what}"
        )
    };
    if let Some(key) = class.parameters.iter().flatten().next().map(|(key, _)| key) {
        return Some(format!("unknown parameter {key:?}: the provisioner {PROVISIONER:?} has none"));
    }
    if class.mount_options.as_ref().is_some_and(|options| !options.is_empty()) {
        return Some(format!(
            "Mount options are not supported by the provisioner but StorageClass {:?} has mount options {:?}",
            class.name_any(),
            class.mount_options.clone().unwrap_or_default()
        ));
    }
    if spec.access_modes.iter().flatten().any(is_other_mode) {
        return Some(format!(
            "a directory of a node can only have the access modes {} and {}",
            MODES[0], MODES[1]
        ));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Some("a directory of a node cannot be a volume of mode Block".to_owned());
    }
    if spec.selector.is_some() {
        return Some("claim.Spec.Selector is not supported".to_owned());
    }
    if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        return Some(only_csi("datasource"));
    }
    spec.volume_attributes_class_name.as_ref().map(|_| only_csi("volumeAttributesClass"))
}

/// The volume for a claim on a node; without a directory on that node there is none.
pub(super) fn provision(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    node: &Node,
) -> Option<PersistentVolume> {
    let directory = annotation(&node.metadata, DIRECTORY)?;
    let host = labels(&node.metadata).get(HOSTNAME)?;
    let name = name(claim);
    let strings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let spec = PersistentVolumeSpec {
        capacity: Some(BTreeMap::from([("storage".to_owned(), Quantity(requested(claim).to_string()))])),
        access_modes: claim.spec.as_ref().and_then(|spec| spec.access_modes.clone()),
        claim_ref: Some(reference(claim)),
        local: Some(LocalVolumeSource { path: path(directory, &name), fs_type: None }),
        node_affinity: Some(only_on(host)),
        persistent_volume_reclaim_policy: class.reclaim_policy.clone(),
        storage_class_name: class.metadata.name.clone(),
        volume_mode: Some("Filesystem".to_owned()),
        ..PersistentVolumeSpec::default()
    };
    let metadata = ObjectMeta {
        name: Some(name),
        annotations: Some(strings(&[(BOUND_BY_CONTROLLER, "yes"), (PROVISIONED_BY, PROVISIONER)])),
        labels: Some(strings(&[(NODE, host)])),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    Some(PersistentVolume { metadata, spec: Some(spec), status: None })
}

fn only_on(host: &str) -> VolumeNodeAffinity {
    let here = NodeSelectorRequirement {
        key: HOSTNAME.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![host.to_owned()]),
    };
    let term = NodeSelectorTerm { match_expressions: Some(vec![here]), match_fields: None };
    VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: vec![term] }) }
}

/// Keys are names of volumes.
pub(crate) struct AbandonedVolumesController {
    client: Client,
    caches: Arc<Caches>,
}

/// The volume without the finalizer that its node would take off, if it is being deleted and there is no such node.
fn released(volume: &PersistentVolume, nodes: &[Arc<Node>]) -> Option<PersistentVolume> {
    let host = labels(&volume.metadata).get(NODE)?;
    let is_host = |node: &Arc<Node>| labels(&node.metadata).get(HOSTNAME) == Some(host);
    if !is_going(&volume.metadata) || !has_finalizer(&volume.metadata, FINALIZER) || nodes.iter().any(is_host)
    {
        return None;
    }
    let mut released = volume.clone();
    released.metadata.finalizers.get_or_insert_default().retain(|finalizer| finalizer != FINALIZER);
    Some(released)
}

impl Controller for AbandonedVolumesController {
    const NAME: &'static str = "abandoned-local-path-volumes-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let waits = |volume: &PersistentVolume| {
            is_going(&volume.metadata) && has_finalizer(&volume.metadata, FINALIZER)
        };
        let wake = queue.clone();
        context.caches.persistent_volumes.on_change(move |change| {
            if let Some(volume) = change.new.filter(|volume| waits(volume)) {
                wake.add(volume.name_any());
            }
        });
        let (wake, volumes) = (queue.clone(), context.caches.persistent_volumes.clone());
        context.caches.nodes.on_change(move |change| {
            if change.new.is_none() {
                for volume in volumes.select("", waits) {
                    wake.add(volume.name_any());
                }
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let volume = self.caches.persistent_volumes.get_global(name);
        let released = volume.and_then(|volume| released(&volume, &self.caches.nodes.all()));
        if let Some(released) = released {
            let api = Api::<PersistentVolume>::all(self.client.clone());
            match api.replace(name, &PostParams::default(), &released).await {
                Err(error) if is_not_found(&error) => {}
                written => drop(written.step("giving up the directory of a node that is gone")?),
            }
        }
        Ok(Next::OnChange)
    }
}

#[cfg(test)]
#[path = "local_path_tests.rs"]
mod tests;
