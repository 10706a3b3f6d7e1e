//! How claims and volumes look once they are bound, unbound or in another phase. `None` where they look so already.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus};
use wherry_api::local_path;

use super::super::facts::{
    BETA_STORAGE_PROVISIONER, BIND_COMPLETED, BOUND, BOUND_BY_CONTROLLER, PROVISIONED_BY,
    STORAGE_PROVISIONER, annotation, claim_phase, is_bound_to, storage, volume_name, volume_phase,
};
use crate::objects::meta::{reference, uid};

const YES: &str = "yes";

fn annotate(annotations: &mut Option<BTreeMap<String, String>>, name: &str, value: &str) {
    annotations.get_or_insert_default().insert(name.to_owned(), value.to_owned());
}

/// The volume, bound to the claim.
pub(super) fn volume_bound(
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Option<PersistentVolume> {
    let mut bound = volume.clone();
    let spec = bound.spec.get_or_insert_default();
    let of = spec.claim_ref.as_ref().and_then(|reference| reference.uid.as_deref());
    if !is_bound_to(volume, claim) {
        annotate(&mut bound.metadata.annotations, BOUND_BY_CONTROLLER, YES);
        spec.claim_ref = Some(reference(claim));
    } else if of != Some(uid(&claim.metadata)) {
        spec.claim_ref = Some(reference(claim));
    }
    (bound != *volume).then_some(bound)
}

/// The volume, bound to nobody; one that its user keeps for a claim is still kept for it.
pub(super) fn volume_unbound(volume: &PersistentVolume) -> PersistentVolume {
    let mut unbound = volume.clone();
    let spec = unbound.spec.get_or_insert_default();
    if annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some() {
        spec.claim_ref = None;
        if let Some(annotations) = &mut unbound.metadata.annotations {
            annotations.remove(BOUND_BY_CONTROLLER);
        }
    } else if let Some(reference) = &mut spec.claim_ref {
        reference.uid = None;
    }
    unbound
}

/// The volume in a phase.
pub(super) fn volume_in(volume: &PersistentVolume, phase: &str, message: &str) -> Option<PersistentVolume> {
    if volume_phase(volume) == phase {
        return None;
    }
    let mut changed = volume.clone();
    let status = changed.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    status.message = Some(message.to_owned()).filter(|message| !message.is_empty());
    Some(changed)
}

/// The claim, bound to the volume.
pub(super) fn claim_bound(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Option<PersistentVolumeClaim> {
    let mut bound = claim.clone();
    let name = volume.metadata.name.clone().unwrap_or_default();
    let annotations = &mut bound.metadata.annotations;
    if volume_name(claim) != name {
        annotate(annotations, BOUND_BY_CONTROLLER, YES);
        bound.spec.get_or_insert_default().volume_name = Some(name);
    }
    if annotation(&claim.metadata, BIND_COMPLETED).is_none() {
        annotate(annotations, BIND_COMPLETED, YES);
        if annotation(&volume.metadata, PROVISIONED_BY) == Some(local_path::PROVISIONER) {
            annotate(annotations, STORAGE_PROVISIONER, local_path::PROVISIONER);
            annotate(annotations, BETA_STORAGE_PROVISIONER, local_path::PROVISIONER);
        }
    }
    (bound != *claim).then_some(bound)
}

/// The claim, with the status of one that is bound to the volume. What a bound claim holds is left to those who let it
/// grow.
pub(super) fn claim_holding(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Option<PersistentVolumeClaim> {
    let mut changed = claim.clone();
    let status = changed.status.get_or_insert_default();
    let spec = volume.spec.as_ref();
    status.access_modes = spec.and_then(|spec| spec.access_modes.clone());
    if claim_phase(claim) != BOUND {
        status.phase = Some(BOUND.to_owned());
        let holds = spec.and_then(|spec| spec.capacity.clone());
        if storage(status.capacity.as_ref()) != storage(holds.as_ref()) {
            status.capacity = holds;
        }
        status.current_volume_attributes_class_name =
            spec.and_then(|spec| spec.volume_attributes_class_name.clone());
    }
    (changed != *claim).then_some(changed)
}

/// The claim in a phase in which it holds nothing.
pub(super) fn claim_in(claim: &PersistentVolumeClaim, phase: &str) -> Option<PersistentVolumeClaim> {
    let mut changed = claim.clone();
    let status: &mut PersistentVolumeClaimStatus = changed.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    (status.access_modes, status.capacity) = (None, None);
    status.current_volume_attributes_class_name = None;
    (changed != *claim).then_some(changed)
}

/// The claim with annotations that say who is to make a volume for it.
pub(super) fn claim_provisioned_by(
    claim: &PersistentVolumeClaim,
    provisioner: &str,
) -> Option<PersistentVolumeClaim> {
    let mut changed = claim.clone();
    for name in [BETA_STORAGE_PROVISIONER, STORAGE_PROVISIONER] {
        annotate(&mut changed.metadata.annotations, name, provisioner);
    }
    (changed != *claim).then_some(changed)
}
