//! Which volumes Pods need on their nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use k8s_openapi::api::storage::v1::CSIDriver;
use kube::ResourceExt;
use wherry_api::csi;

use super::super::facts::{
    BOUND, claim_phase, ephemeral_name, has_node, is_bound_to, is_made_for, volume_name, volumes,
};
use crate::context::Caches;
use crate::objects::meta::Key;
use crate::objects::pods::is_terminal;

/// A volume that is to be attached to a node.
#[derive(Clone, Debug)]
pub(super) struct Need {
    /// The PersistentVolume.
    pub(super) volume: String,
    pub(super) driver: String,
    pub(super) handle: String,
    pub(super) node: String,
    /// Whether it may be attached to one node at a time.
    pub(super) is_exclusive: bool,
    /// Those that need it there.
    pub(super) pods: Vec<Arc<Pod>>,
}

impl Need {
    /// The name of its VolumeAttachment.
    pub(super) fn attachment(&self) -> String {
        csi::attachment_name(&self.driver, &self.handle, &self.node)
    }
}

/// What is needed, by the names of attachments.
pub(super) fn needs(caches: &Caches) -> BTreeMap<String, Need> {
    let mut needs = BTreeMap::<String, Need>::new();
    for pod in caches.pods.all().into_iter().filter(|pod| has_node(pod) && !is_terminal(pod)) {
        for volume in volumes_of(caches, &pod) {
            let attached = |driver: &str| is_attached(caches.csi_drivers.get_global(driver).as_deref());
            let Some(need) = need(&pod, &volume).filter(|need| attached(&need.driver)) else { continue };
            needs.entry(need.attachment()).or_insert(need).pods.push(pod.clone());
        }
    }
    needs
}

/// The volumes behind the claims of the Pod.
fn volumes_of(caches: &Caches, pod: &Pod) -> Vec<Arc<PersistentVolume>> {
    let namespace = pod.namespace().unwrap_or_default();
    let claim = |name: String| caches.persistent_volume_claims.get(&Key::new(namespace.clone(), name));
    let claims =
        volumes(pod).filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => claim(source.claim_name.clone()),
            (None, Some(_)) => claim(ephemeral_name(pod, volume)).filter(|claim| is_made_for(claim, pod)),
            (None, None) => None,
        });
    let bound = claims.filter(|claim| claim_phase(claim) == BOUND);
    bound
        .filter_map(|claim| {
            let volume = caches.persistent_volumes.get_global(volume_name(&claim))?;
            is_bound_to(&volume, &claim).then_some(volume)
        })
        .collect()
}

/// Whether volumes of the driver are attached; those of one that does not say are.
fn is_attached(driver: Option<&CSIDriver>) -> bool {
    driver.is_none_or(|driver| driver.spec.attach_required != Some(false))
}

/// The need of the Pod for the volume, if a driver has it.
fn need(pod: &Pod, volume: &PersistentVolume) -> Option<Need> {
    let spec = volume.spec.as_ref()?;
    let csi = spec.csi.as_ref()?;
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    Some(Need {
        volume: volume.name_any(),
        driver: csi.driver.clone(),
        handle: csi.volume_handle.clone(),
        node: pod.spec.as_ref()?.node_name.clone()?,
        is_exclusive: modes.iter().all(|mode| matches!(mode.as_str(), "ReadWriteOnce" | "ReadWriteOncePod")),
        pods: Vec::new(),
    })
}
