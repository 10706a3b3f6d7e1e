//! VolumeBinding: the volumes of a Pod's claims must be usable on its node. Claims that wait for a Pod get theirs when
//! it has a node: one that is there, or one that is made there.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::{CSIStorageCapacity, StorageClass};

use super::matching::{amount, can_be_used, class_of, find, is_allowed, size_of};
use super::{Needs, RefusedEverywhere};
use crate::cluster::{Cluster, NodeInfo};
use crate::io::volumes::SELECTED_NODE;
use crate::plugins::{Plugin, Refusal, Why};
use crate::pod::{ClaimRef, PodInfo, holds, parse_selector};

/// Said of a claim when its volume is bound to it.
const COMPLETED: &str = "pv.kubernetes.io/bind-completed";

const REASONS: [&str; 4] = [
    "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
    "node(s) didn't match PersistentVolume's node affinity",
    "node(s) didn't find available persistent volumes to bind",
    "node(s) did not have enough free storage",
];
const NO_VOLUME: u8 = 1;
const WRONG_NODE: u8 = 2;
const NO_MATCH: u8 = 4;
const NO_SPACE: u8 = 8;

/// What is wrong, as the user reads it.
pub(crate) fn texts(reasons: u8) -> impl Iterator<Item = String> {
    let said = REASONS.into_iter().enumerate().filter(move |(place, _)| reasons & (1 << place) != 0);
    said.map(|(_, text)| text.to_owned())
}

/// Something to be written before a Pod can be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bind a volume to a claim.
    Bind { volume: String, claim: String },
    /// Have a volume made for a claim on this node.
    Provision { claim: String, node: String },
}

/// Whether a claim has its volume.
pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    has_volume(claim) && annotations.is_some_and(|all| all.contains_key(COMPLETED))
}

fn has_volume(claim: &PersistentVolumeClaim) -> bool {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref()).is_some_and(|name| !name.is_empty())
}

/// Finds out what the claims of a Pod are.
pub(super) fn read_claims(
    needs: &mut Needs<'_>,
    pod: &PodInfo,
    cluster: &Cluster,
) -> Result<(), RefusedEverywhere> {
    let refuse = |text| Err(RefusedEverywhere { plugin: Plugin::VolumeBinding, text });
    let mut claims = Vec::new();
    for reference in &needs.volumes.claims {
        match usable(reference, pod, cluster) {
            Ok(claim) => claims.push(claim),
            Err(text) => return refuse(text),
        }
    }
    for claim in claims {
        let class = cluster.storage.class(class_of(claim));
        let waits =
            class.and_then(|class| class.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
        if is_bound(claim) {
            let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
            match cluster.storage.volume(name) {
                Some(volume) => needs.bound.push(volume.clone()),
                None => needs.lacks_volume = true,
            }
        } else if waits && !has_volume(claim) {
            needs.unbound.push(claim.clone());
        } else {
            return refuse("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
    }
    // Small claims first, so that large volumes are left for large ones.
    needs.unbound.sort_by_key(|claim| size_of(claim));
    Ok(())
}

fn usable<'c>(
    reference: &ClaimRef,
    pod: &PodInfo,
    cluster: &'c Cluster,
) -> Result<&'c std::sync::Arc<PersistentVolumeClaim>, String> {
    let name = &reference.name;
    let Some(claim) = cluster.storage.claim(&pod.namespace, name) else {
        return Err(if reference.is_ephemeral {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
        } else {
            format!("persistentvolumeclaim {name:?} not found")
        });
    };
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        return Err(format!(
            "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
        ));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    let mut owners = claim.metadata.owner_references.iter().flatten();
    let is_its = owners.any(|owner| owner.controller == Some(true) && owner.uid == pod.uid);
    if reference.is_ephemeral && !is_its {
        let (namespace, pod) = (&pod.namespace, &pod.name);
        return Err(format!(
            "PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"
        ));
    }
    Ok(claim)
}

pub(super) fn fits(needs: &Needs<'_>, node: &NodeInfo, cluster: &Cluster) -> Result<(), Refusal> {
    let mut reasons = if needs.lacks_volume { NO_VOLUME } else { 0 };
    if !needs.bound.iter().all(|volume| can_be_used(volume, node, cluster)) {
        reasons |= WRONG_NODE;
    }
    reasons |= plan(needs, node, cluster).err().unwrap_or(0);
    if reasons == 0 {
        return Ok(());
    }
    Err(Refusal { plugin: Plugin::VolumeBinding, why: Why::Volumes(reasons), is_final: true })
}

pub(super) fn steps(needs: &Needs<'_>, node: &NodeInfo, cluster: &Cluster) -> Vec<Step> {
    plan(needs, node, cluster).unwrap_or_default()
}

/// Where the claims that wait get their volumes from, or why they cannot.
fn plan(needs: &Needs<'_>, node: &NodeInfo, cluster: &Cluster) -> Result<Vec<Step>, u8> {
    let (mut steps, mut chosen) = (Vec::new(), Vec::new());
    for claim in &needs.unbound {
        let name = claim.metadata.name.clone().unwrap_or_default();
        let selected = claim.metadata.annotations.as_ref().and_then(|all| all.get(SELECTED_NODE));
        if selected.is_some_and(|selected| *selected != node.name) {
            return Err(NO_MATCH);
        }
        let found = if selected.is_none() { find(claim, node, cluster, &chosen) } else { None };
        if let Some(volume) = found {
            chosen.push(volume.clone());
            steps.push(Step::Bind { volume, claim: name });
        } else {
            can_be_made(claim, node, cluster)?;
            steps.push(Step::Provision { claim: name, node: node.name.clone() });
        }
    }
    Ok(steps)
}

fn can_be_made(claim: &PersistentVolumeClaim, node: &NodeInfo, cluster: &Cluster) -> Result<(), u8> {
    let Some(class) = cluster.storage.class(class_of(claim)) else { return Err(NO_MATCH) };
    let allowed = class.allowed_topologies.as_deref().unwrap_or_default();
    if class.provisioner == "kubernetes.io/no-provisioner" || !is_allowed(allowed, node, cluster) {
        return Err(NO_MATCH);
    }
    if has_space(class, size_of(claim), node, cluster) { Ok(()) } else { Err(NO_SPACE) }
}

fn has_space(class: &StorageClass, size: i128, node: &NodeInfo, cluster: &Cluster) -> bool {
    if !cluster.storage.tells_capacity(&class.provisioner) {
        return true;
    }
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let is_there = |capacity: &CSIStorageCapacity| {
        let topology = capacity.node_topology.as_ref().and_then(parse_selector);
        let labels: BTreeMap<_, _> = cluster.labels(node);
        let limit = capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref());
        limit.is_some()
            && amount(limit) >= size
            && topology.is_some_and(|topology| holds(&topology, Some(&labels)))
    };
    cluster.storage.capacities_of(name).any(is_there)
}
