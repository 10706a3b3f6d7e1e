//! What a volume needs next, as data.
//!
//! ```text
//! Pending -> Available -> Bound --(its claim goes)--> Released --(reclaim policy)--> deleted, or Failed
//! ```

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use wherry_api::local_path;

use super::super::facts::{
    AVAILABLE, BOUND, FAILED, PROVISIONED_BY, RELEASED, annotation, is_going, volume_name, volume_phase,
};
use super::super::matching::same_mode;
use super::super::told::Said;
use crate::objects::meta::uid;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Write the phase.
    Phase(&'static str),
    /// Nothing: its claim decides.
    LeaveToClaim,
    /// Tell both that they do not fit.
    Mismatch { of_volume: Said, of_claim: Said },
    /// Unbind it from a claim that is bound to another.
    Unbind,
    /// Its claim is gone.
    Release(Reclaim),
}

/// What becomes of a volume whose claim is gone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reclaim {
    /// Nothing, or nothing that is for us to do.
    Keep,
    /// It is deleted; whoever made it removes what it held.
    Delete,
    /// It cannot be reclaimed.
    Fail(Said),
}

/// Decides; `claim` is the one the volume's reference names.
pub(super) fn plan(volume: &PersistentVolume, claim: Option<&Arc<PersistentVolumeClaim>>) -> Act {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let Some(of) = reference.and_then(|reference| reference.uid.as_deref()).filter(|uid| !uid.is_empty())
    else {
        return Act::Phase(AVAILABLE);
    };
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    match claim.filter(|claim| uid(&claim.metadata) == of) {
        None => Act::Release(reclaim(volume)),
        Some(claim) if volume_name(claim).is_empty() => {
            if same_mode(volume, claim) {
                return Act::LeaveToClaim;
            }
            let wanted = claim.metadata.name.as_deref().unwrap_or_default();
            let of_volume = format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {wanted:?} due to incompatible volumeMode."
            );
            let of_claim = format!(
                "Cannot bind PersistentVolume {name:?} to requested PersistentVolumeClaim due to incompatible volumeMode."
            );
            Act::Mismatch {
                of_volume: Said::warning("VolumeMismatch", of_volume),
                of_claim: Said::warning("VolumeMismatch", of_claim),
            }
        }
        Some(claim) if volume_name(claim) == name => Act::Phase(BOUND),
        Some(_) if annotation(&volume.metadata, PROVISIONED_BY).is_some() && policy(volume) == "Delete" => {
            Act::Release(reclaim(volume))
        }
        Some(_) => Act::Unbind,
    }
}

fn policy(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or("Retain")
}

/// What the reclaim policy says, as far as it was not done before.
fn reclaim(volume: &PersistentVolume) -> Reclaim {
    if is_going(&volume.metadata) || volume_phase(volume) == FAILED {
        return Reclaim::Keep;
    }
    let failed_delete = |why: &str| {
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        let message = format!("error getting deleter volume plugin for volume {name:?}: {why}");
        Reclaim::Fail(Said::warning("VolumeFailedDelete", message))
    };
    match (policy(volume), annotation(&volume.metadata, PROVISIONED_BY)) {
        ("Delete", Some(local_path::PROVISIONER)) => Reclaim::Delete,
        ("Delete", Some(by)) if by.starts_with("kubernetes.io/") => {
            failed_delete(&format!("no volume plugin matched name: {by}"))
        }
        ("Delete", None | Some("")) => failed_delete("no deletable volume plugin matched"),
        ("Recycle", _) => Reclaim::Fail(Said::warning(
            "VolumeFailedRecycle",
            "No recycler plugin found for the volume!".to_owned(),
        )),
        // Retained, or deleted by another provisioner.
        _ => Reclaim::Keep,
    }
}

/// The phase a released volume is to have, if it does not have it.
pub(super) fn released(volume: &PersistentVolume) -> Option<&'static str> {
    (!matches!(volume_phase(volume), RELEASED | FAILED)).then_some(RELEASED)
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
