//! Which volume a claim gets: one that is kept for it, else the smallest that has all it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::core::{Selector, SelectorExt};

use super::facts::{
    AVAILABLE, capacity, claim_class, is_bound_to, is_going, requested, volume_class, volume_phase,
};
use crate::objects::meta::{labels, selector};
use crate::runtime::error::ReconcileError;

/// The best volume for a claim, if there is one. `delayed` leaves volumes that are kept for nobody to the scheduler.
///
/// Volumes with fewer access modes come first, whatever their size, as upstream has it.
pub(super) fn best<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [Arc<PersistentVolume>],
    delayed: bool,
) -> Result<Option<&'a Arc<PersistentVolume>>, ReconcileError> {
    let wanted = modes_of_claim(claim);
    let chosen = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref()).map(selector).transpose()?;
    let mut groups = BTreeMap::<(usize, BTreeSet<&str>), Vec<&Arc<PersistentVolume>>>::new();
    for volume in volumes {
        let modes = modes(volume);
        if wanted.is_subset(&modes) {
            groups.entry((modes.len(), modes)).or_default().push(volume);
        }
    }
    Ok(groups.into_values().find_map(|group| best_of(claim, &group, chosen.as_ref(), delayed)))
}

fn best_of<'a>(
    claim: &PersistentVolumeClaim,
    group: &[&'a Arc<PersistentVolume>],
    chosen: Option<&Selector>,
    delayed: bool,
) -> Option<&'a Arc<PersistentVolume>> {
    let is_free =
        |volume: &PersistentVolume| volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none());
    let usable = group.iter().filter(|volume| {
        (is_free(volume) || is_bound_to(volume, claim))
            && capacity(volume) >= requested(claim)
            && mode_of_claim(claim) == mode(volume)
            && attributes_of_claim(claim) == attributes(volume)
            && !is_going(&volume.metadata)
    });
    let usable: Vec<_> = usable.copied().collect();
    if let Some(kept) = usable.iter().find(|volume| is_bound_to(volume, claim)) {
        return Some(kept);
    }
    let fits = |volume: &&&Arc<PersistentVolume>| {
        volume_phase(volume) == AVAILABLE
            && chosen.is_none_or(|chosen| chosen.matches(labels(&volume.metadata)))
            && volume_class(volume) == claim_class(claim)
    };
    usable.iter().filter(|_| !delayed).filter(fits).min_by_key(|volume| capacity(volume)).copied()
}

/// Whether a volume that the claim names has what it asks for; else what is missing.
pub(super) fn satisfies(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), String> {
    if is_going(&volume.metadata) {
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        return Err(format!("the volume is marked for deletion {name:?}"));
    }
    let checks = [
        (capacity(volume) >= requested(claim), "requested PV is too small"),
        (volume_class(volume) == claim_class(claim), "storageClassName does not match"),
        (attributes(volume) == attributes_of_claim(claim), "volumeAttributesClassName does not match"),
        (mode(volume) == mode_of_claim(claim), "incompatible volumeMode"),
        (modes_of_claim(claim).is_subset(&modes(volume)), "incompatible accessMode"),
    ];
    let missing = checks.iter().find(|(holds, _)| !holds);
    missing.map_or(Ok(()), |(_, missing)| Err((*missing).to_owned()))
}

/// Whether claim and volume are of the same mode.
pub(super) fn same_mode(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    mode(volume) == mode_of_claim(claim)
}

fn modes_of_claim(claim: &PersistentVolumeClaim) -> BTreeSet<&str> {
    let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
    modes.into_iter().flatten().map(String::as_str).collect()
}

fn modes(volume: &PersistentVolume) -> BTreeSet<&str> {
    let modes = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
    modes.into_iter().flatten().map(String::as_str).collect()
}

fn mode_of_claim(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or("Filesystem")
}

fn mode(volume: &PersistentVolume) -> &str {
    volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or("Filesystem")
}

fn attributes_of_claim(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref()).unwrap_or_default()
}

fn attributes(volume: &PersistentVolume) -> &str {
    volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref()).unwrap_or_default()
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
