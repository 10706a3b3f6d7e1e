//! What claims and volumes say about themselves.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wherry_api::quantity;

use crate::objects::meta::{is_controlled_by, uid};

/// The claim's binding is complete.
pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// This end of the binding was made by the controller, not by the user.
pub(super) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Who made the volume.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The node the scheduler chose for the first Pod that uses the claim.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Who is to make a volume for the claim.
pub(super) const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same, as it was called before.
pub(super) const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// Where the class was before there was a field for it.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The phase of a claim or volume that nobody has looked at.
pub(super) const PENDING: &str = "Pending";
pub(super) const AVAILABLE: &str = "Available";
pub(super) const BOUND: &str = "Bound";
pub(super) const RELEASED: &str = "Released";
pub(super) const FAILED: &str = "Failed";
pub(super) const LOST: &str = "Lost";

/// An annotation.
pub(super) fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Whether the object has this finalizer.
pub(super) fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|one| one == finalizer)
}

/// Whether the object is being deleted.
pub(super) fn is_going(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// Whether the claim names a class, were it the empty one.
pub(super) fn names_class(claim: &PersistentVolumeClaim) -> bool {
    let field = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    field.is_some() || annotation(&claim.metadata, BETA_CLASS).is_some()
}

/// The class of the claim; empty if it has none.
pub(super) fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    let field = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&claim.metadata, BETA_CLASS).or(field).unwrap_or_default()
}

/// The class of the volume; empty if it has none.
pub(super) fn volume_class(volume: &PersistentVolume) -> &str {
    let field = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&volume.metadata, BETA_CLASS).or(field).unwrap_or_default()
}

/// The volume the claim names; empty if it names none.
pub(super) fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

/// The amount of storage in a list of resources.
pub(super) fn storage(list: Option<&BTreeMap<String, Quantity>>) -> Option<quantity::Quantity> {
    list?.get("storage")?.0.parse().ok()
}

/// How much the claim asks for.
pub(super) fn requested(claim: &PersistentVolumeClaim) -> quantity::Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    storage(resources.and_then(|resources| resources.requests.as_ref())).unwrap_or_default()
}

/// How much the volume holds.
pub(super) fn capacity(volume: &PersistentVolume) -> quantity::Quantity {
    storage(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref())).unwrap_or_default()
}

pub(super) fn claim_phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub(super) fn volume_phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the volume is bound to this claim, or kept for it.
pub(super) fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        let of = reference.uid.as_deref().unwrap_or_default();
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && (of.is_empty() || of == uid(&claim.metadata))
    })
}

/// Whether the claim was made for an ephemeral volume of this very Pod.
pub(super) fn is_made_for(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    claim.metadata.namespace == pod.metadata.namespace
        && is_controlled_by(&claim.metadata, uid(&pod.metadata))
}

/// The name of the claim behind an ephemeral volume of the Pod.
pub(super) fn ephemeral_name(pod: &Pod, volume: &Volume) -> String {
    format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name)
}

/// Whether the Pod was given its node.
pub(super) fn has_node(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_ref().is_some_and(|name| !name.is_empty()))
}

pub(super) fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

/// The names of the claims a Pod uses.
pub(super) fn claims_of(pod: &Pod) -> impl Iterator<Item = String> {
    volumes(pod).filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(ephemeral_name(pod, volume)),
        (None, None) => None,
    })
}
