//! The plugins about volumes: VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone.
//!
//! What a Pod's claims are is found out once for a decision; then each node is asked. Pods without claims and disks
//! never get here.

mod binding;
mod limits;
mod matching;
mod restrictions;
mod zone;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::{Plugin, Profile, Refusal};
use crate::cluster::{Cluster, NodeIndex};
use crate::event::{Event, StorageKind};
use crate::pod::{PodInfo, Volumes};

pub(crate) use binding::{Step, is_bound, texts};
use zone::Zones;

/// What refuses a Pod on all nodes alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedEverywhere {
    pub(crate) plugin: Plugin,
    pub(crate) text: String,
}

/// What a Pod's volumes need.
pub(crate) struct Needs<'p> {
    pub(super) volumes: &'p Volumes,
    pub(super) namespace: &'p str,
    /// Whether another Pod has a claim that only one may have.
    is_taken: bool,
    /// The volumes of its claims that are bound.
    pub(super) bound: Vec<Arc<PersistentVolume>>,
    /// Whether a claim is bound to a volume that is not there.
    pub(super) lacks_volume: bool,
    /// The claims that wait for this Pod's node.
    pub(super) unbound: Vec<Arc<PersistentVolumeClaim>>,
    zones: Zones,
}

impl<'p> Needs<'p> {
    /// What a Pod's volumes need; nothing if it has none that matter.
    pub(crate) fn of(
        pod: &'p PodInfo,
        cluster: &Cluster,
        profile: &Profile,
    ) -> Result<Option<Self>, RefusedEverywhere> {
        let Some(volumes) = &pod.volumes else { return Ok(None) };
        let asks = |plugin| profile.filters.contains(plugin);
        let mut needs = Self {
            volumes,
            namespace: &pod.namespace,
            is_taken: false,
            bound: Vec::new(),
            lacks_volume: false,
            unbound: Vec::new(),
            zones: Zones::default(),
        };
        if asks(Plugin::VolumeRestrictions) {
            needs.is_taken = restrictions::is_taken(&needs, cluster)?;
        }
        if asks(Plugin::VolumeBinding) || asks(Plugin::VolumeZone) || asks(Plugin::NodeVolumeLimits) {
            binding::read_claims(&mut needs, pod, cluster)?;
            needs.zones = Zones::of(&needs.bound);
        }
        Ok(Some(needs))
    }

    /// Whether a node is right for the volumes.
    pub(crate) fn pass(&self, index: NodeIndex, cluster: &Cluster, profile: &Profile) -> Result<(), Refusal> {
        let node = cluster.node(index);
        let asks = |plugin| profile.filters.contains(plugin);
        if asks(Plugin::VolumeRestrictions) {
            restrictions::fits(self, index, cluster)?;
        }
        if asks(Plugin::NodeVolumeLimits) {
            limits::fits(self, index, cluster)?;
        }
        if asks(Plugin::VolumeBinding) {
            binding::fits(self, node, cluster)?;
        }
        if asks(Plugin::VolumeZone) {
            self.zones.fits(node, cluster)?;
        }
        Ok(())
    }

    /// What has to be written before the Pod can be bound to a node.
    pub(crate) fn steps(&self, index: NodeIndex, cluster: &Cluster) -> Vec<Step> {
        binding::steps(self, cluster.node(index), cluster)
    }
}

/// Whether an event may help a Pod that one of these plugins refused.
pub(super) fn helps(pod: &PodInfo, _: &Cluster, event: &Event) -> bool {
    let Some(volumes) = &pod.volumes else { return false };
    match event {
        Event::NodeAdded(_) | Event::PodGone { .. } => true,
        Event::NodeChanged(_, changes) => changes.labels,
        Event::StorageChanged(StorageKind::Claim((namespace, name))) => {
            *namespace == pod.namespace && volumes.claims.iter().any(|claim| claim.name == *name)
        }
        Event::StorageChanged(_) => !volumes.claims.is_empty(),
        Event::NodeRemoved | Event::PodPlaced { .. } | Event::PodChanged { .. } | Event::NamespaceChanged => {
            false
        }
    }
}

#[cfg(test)]
mod tests;
