//! Claims of devices: made for Pods from templates (`maker`), and cleaned up when nobody uses them any more (`cleaner`).
//!
//! Who gets which devices is the scheduler's to say.

pub(crate) mod cleaner;
pub(crate) mod maker;

use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference};

use crate::objects::meta::uid;

/// What a Pod says of one of its claims.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    /// The user named it.
    ByUser(String),
    /// It was made for the Pod.
    Made(String),
    /// None is needed.
    Unneeded,
    NotYet,
}

fn named(asked: &PodResourceClaim, pod: &Pod) -> Named {
    if let Some(name) = &asked.resource_claim_name {
        return Named::ByUser(name.clone());
    }
    let made = pod.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    match made.into_iter().find(|made| made.name == asked.name) {
        Some(made) => made.resource_claim_name.clone().map_or(Named::Unneeded, Named::Made),
        None => Named::NotYet,
    }
}

/// The claims that a Pod speaks of.
fn asked(pod: &Pod) -> &[PodResourceClaim] {
    pod.spec.as_ref().and_then(|spec| spec.resource_claims.as_deref()).unwrap_or_default()
}

/// The names of a Pod's claims, as far as they are known.
fn names(pod: &Pod) -> impl Iterator<Item = String> + '_ {
    asked(pod).iter().filter_map(|asked| match named(asked, pod) {
        Named::ByUser(name) | Named::Made(name) => Some(name),
        Named::Unneeded | Named::NotYet => None,
    })
}

/// Whether none of a Pod's containers runs or ever will.
fn is_done(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_terminal = matches!(phase, Some("Succeeded" | "Failed"));
    is_terminal || (pod.metadata.deletion_timestamp.is_some() && !is_placed(pod))
}

/// Whether a Pod has a node.
fn is_placed(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

/// Who uses a claim.
fn users(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    let users = claim.status.as_ref().and_then(|status| status.reserved_for.as_deref());
    users.unwrap_or_default()
}

fn is_reserved_for(claim: &ResourceClaim, pod: &Pod) -> bool {
    users(claim).iter().any(|user| user.uid == uid(&pod.metadata))
}

fn is_allocated(claim: &ResourceClaim) -> bool {
    claim.status.as_ref().is_some_and(|status| status.allocation.is_some())
}

#[cfg(test)]
mod tests;
