//! Whether the claims of a Pod go with it or with its set: what `persistentVolumeClaimRetentionPolicy` asks for, as
//! owner references of the claims.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use crate::objects::meta::{controller_of, controller_reference, uid};

/// Whether claims go when their Pod is scaled away.
pub(super) fn goes_when_scaled(set: &StatefulSet) -> bool {
    policy(set, |policy| policy.when_scaled.as_deref() == Some("Delete"))
}

/// Whether claims go with the set.
fn goes_when_deleted(set: &StatefulSet) -> bool {
    policy(set, |policy| policy.when_deleted.as_deref() == Some("Delete"))
}

fn policy(
    set: &StatefulSet,
    says: impl Fn(&k8s_openapi::api::apps::v1::StatefulSetPersistentVolumeClaimRetentionPolicy) -> bool,
) -> bool {
    let spec = set.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref()).is_some_and(says)
}

/// The references a claim should have, if it does not have them. `pod` is the one that mounts it, `is_condemned` says
/// that it is scaled away.
pub(super) fn owners(
    set: &StatefulSet,
    claim: &PersistentVolumeClaim,
    pod: Option<&Pod>,
    is_condemned: bool,
) -> Option<Vec<OwnerReference>> {
    let found = claim.metadata.owner_references.clone().unwrap_or_default();
    let pod = pod.filter(|pod| pod.metadata.uid.is_some());
    let is_ours = |owner: &OwnerReference| {
        is_reference_to(owner, set) || pod.is_some_and(|pod| is_reference_to(owner, pod))
    };
    let mut wanted: Vec<_> = found.iter().filter(|owner| !is_ours(owner)).cloned().collect();
    let is_foreign = controller_of(&claim.metadata).is_some_and(|owner| !is_ours(owner));
    let goes_with_pod = goes_when_scaled(set) && is_condemned;
    if !is_foreign && goes_when_deleted(set) && !goes_with_pod {
        wanted.push(controller_reference(set));
    }
    if !is_foreign && goes_with_pod {
        wanted.extend(pod.map(controller_reference));
    }
    (wanted != found).then_some(wanted)
}

/// Whether the claim still belongs to an earlier Pod of this name, and goes with it.
pub(super) fn is_stale(claim: &PersistentVolumeClaim, pod_name: &str) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    claim.metadata.deletion_timestamp.is_some()
        || owners.into_iter().any(|owner| owner.kind == "Pod" && owner.name == pod_name)
}

fn is_reference_to<K: Resource<DynamicType = ()>>(owner: &OwnerReference, object: &K) -> bool {
    owner.uid == uid(object.meta()) && owner.kind == K::kind(&())
}
