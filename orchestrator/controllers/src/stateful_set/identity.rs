//! Who a Pod of a StatefulSet is: its ordinal, its names, the claims it mounts, the revision it is of.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use kube::ResourceExt;

use crate::objects::history::POD_REVISION;
use crate::objects::meta::labels;
use crate::objects::pod_control::pod_of;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal a Pod's name ends with, if the name is one of this set.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let name = pod.metadata.name.as_deref()?;
    let (parent, ordinal) = name.rsplit_once('-')?;
    let is_number = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    (parent == set.metadata.name.as_deref()? && is_number).then(|| ordinal.parse().ok())?
}

pub(super) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.name_any())
}

/// The revision a Pod is of.
pub(super) fn revision(pod: &Pod) -> &str {
    labels(&pod.metadata).get(POD_REVISION).map(String::as_str).unwrap_or_default()
}

/// A new Pod of this ordinal and revision.
pub(super) fn new_pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let mut pod = pod_of(set, Some(template));
    pod.metadata.name = Some(pod_name(set, ordinal));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_REVISION.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(pod_name(set, ordinal));
    spec.subdomain =
        set.spec.as_ref().and_then(|spec| spec.service_name.clone()).filter(|name| !name.is_empty());
    identify(set, &mut pod, ordinal);
    pod
}

/// Gives a Pod the labels and the claims of its ordinal.
pub(super) fn identify(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.to_owned(), pod_name(set, ordinal));
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    let claims = claims(set, ordinal);
    if claims.is_empty() {
        return;
    }
    let volumes = pod.spec.get_or_insert_default().volumes.get_or_insert_default();
    let mut wanted: Vec<_> = claims.iter().map(|(volume, claim)| mount(volume, claim)).collect();
    wanted.extend(volumes.drain(..).filter(|volume| !claims.contains_key(&volume.name)));
    *volumes = wanted;
}

/// Whether a Pod has the labels and the claims of its ordinal.
pub(super) fn is_identified(set: &StatefulSet, pod: &Pod, ordinal: i32) -> bool {
    let found = labels(&pod.metadata);
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let mounts = |volume: &str, claim: &PersistentVolumeClaim| {
        let source = volumes.iter().find(|found| found.name == volume);
        let source = source.and_then(|found| found.persistent_volume_claim.as_ref());
        source.map(|source| &source.claim_name) == claim.metadata.name.as_ref()
    };
    found.get(POD_NAME) == Some(&pod_name(set, ordinal))
        && found.get(POD_INDEX) == Some(&ordinal.to_string())
        && claims(set, ordinal).iter().all(|(volume, claim)| mounts(volume, claim))
}

/// The claims of an ordinal, by the volume that mounts them.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> BTreeMap<String, PersistentVolumeClaim> {
    let Some(spec) = set.spec.as_ref() else { return BTreeMap::new() };
    let templates = spec.volume_claim_templates.iter().flatten();
    let claim = |template: &PersistentVolumeClaim| {
        let mut claim = template.clone();
        let volume = template.name_any();
        claim.metadata.name = Some(format!("{volume}-{}-{ordinal}", set.name_any()));
        claim.metadata.namespace.clone_from(&set.metadata.namespace);
        let labels = claim.metadata.labels.get_or_insert_default();
        labels.extend(spec.selector.match_labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        claim.status = None;
        (volume, claim)
    };
    templates.map(claim).collect()
}

fn mount(volume: &str, claim: &PersistentVolumeClaim) -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.name_any(), read_only: None };
    Volume { name: volume.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}
