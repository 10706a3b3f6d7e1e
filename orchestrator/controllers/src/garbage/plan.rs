//! What becomes of one object, by its owners and dependents.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PropagationPolicy;

use super::graph::Dependent;

/// The finalizer of an owner that waits for its dependents to go.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an owner that lets its dependents live.
pub(super) const ORPHAN: &str = "orphan";

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    Present,
    /// It is deleted in the foreground: dependents go first.
    WaitsForDependents,
    Absent,
}

impl OwnerState {
    /// The state of an owner that is there.
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        if meta.deletion_timestamp.is_some() && has_finalizer(meta, FOREGROUND) {
            Self::WaitsForDependents
        } else {
            Self::Present
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    Nothing,
    Delete(PropagationPolicy),
    /// Keep only these owners.
    KeepOwners(Vec<OwnerReference>),
    /// Remove this owner from these dependents, then the finalizer that waits for it.
    LetGo {
        dependents: Vec<String>,
    },
    /// Nothing blocks any more: remove the finalizer.
    DropForeground,
}

/// Decides about the object of this uid.
pub(super) fn plan(
    uid: &str,
    live: &ObjectMeta,
    owners: &[(OwnerReference, OwnerState)],
    dependents: &[Dependent],
) -> Decision {
    if live.deletion_timestamp.is_some() {
        return plan_deleting(uid, live, dependents);
    }
    if owners.is_empty() {
        return Decision::Nothing;
    }
    let present: Vec<_> = owners.iter().filter(|(_, state)| *state == OwnerState::Present).collect();
    if present.len() == owners.len() {
        return Decision::Nothing;
    }
    if !present.is_empty() {
        return Decision::KeepOwners(present.into_iter().map(|(owner, _)| owner.clone()).collect());
    }
    let is_awaited = owners.iter().any(|(_, state)| *state == OwnerState::WaitsForDependents);
    let blocks = |owner: &OwnerReference| owner.block_owner_deletion == Some(true);
    // Owners and dependents that wait for each other may be a circle, in which all would wait for ever.
    if is_awaited
        && dependents.iter().any(|dependent| dependent.waits)
        && owners.iter().any(|(owner, _)| blocks(owner))
    {
        return Decision::KeepOwners(owners.iter().map(|(owner, _)| unblocked(owner)).collect());
    }
    Decision::Delete(if has_finalizer(live, ORPHAN) {
        PropagationPolicy::Orphan
    } else if has_finalizer(live, FOREGROUND) || (is_awaited && !dependents.is_empty()) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    })
}

fn unblocked(owner: &OwnerReference) -> OwnerReference {
    OwnerReference { block_owner_deletion: Some(false), ..owner.clone() }
}

fn plan_deleting(uid: &str, live: &ObjectMeta, dependents: &[Dependent]) -> Decision {
    if has_finalizer(live, ORPHAN) {
        return Decision::LetGo {
            dependents: dependents.iter().map(|dependent| dependent.uid.clone()).collect(),
        };
    }
    let is_blocked = dependents.iter().any(|dependent| dependent.blocks && dependent.uid != uid);
    if has_finalizer(live, FOREGROUND) && !is_blocked {
        return Decision::DropForeground;
    }
    Decision::Nothing
}

fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|held| held == finalizer)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
