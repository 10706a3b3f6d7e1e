//! Which volume is right for a claim, and where volumes can be used.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, TopologySelectorTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use wherry_api::quantity::Quantity;

use crate::cluster::{Cluster, NodeInfo};
use crate::pod::{NodeTerm, holds, parse_selector};

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The class of a claim; empty if it has none.
pub(super) fn class_of(claim: &PersistentVolumeClaim) -> &str {
    let annotation = claim.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
    let own = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotation.or(own).map(String::as_str).unwrap_or_default()
}

fn class_of_volume(volume: &PersistentVolume) -> &str {
    let annotation = volume.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
    let own = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotation.or(own).map(String::as_str).unwrap_or_default()
}

/// How much a claim asks for.
pub(super) fn size_of(claim: &PersistentVolumeClaim) -> i128 {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    amount(resources.and_then(|resources| resources.requests.as_ref()?.get("storage")))
}

/// The whole units of a quantity; zero if it is none.
pub(super) fn amount(text: Option<&Text>) -> i128 {
    text.and_then(|text| text.0.parse::<Quantity>().ok()).map_or(0, |quantity| quantity.value())
}

/// Whether a volume can be used on a node.
pub(super) fn can_be_used(volume: &PersistentVolume, node: &NodeInfo, cluster: &Cluster) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let Some(required) = affinity.and_then(|affinity| affinity.required.as_ref()) else { return true };
    required
        .node_selector_terms
        .iter()
        .filter_map(NodeTerm::parse)
        .any(|term| term.admits(&node.name) && term.labels.matches(|key| cluster.label(node, key)))
}

/// Whether a node is in one of the topologies that a class allows.
pub(super) fn is_allowed(terms: &[TopologySelectorTerm], node: &NodeInfo, cluster: &Cluster) -> bool {
    terms.is_empty()
        || terms.iter().any(|term| {
            let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
            !expressions.is_empty()
                && expressions.iter().all(|expression| {
                    let value = cluster.label(node, &expression.key);
                    value.is_some_and(|value| expression.values.iter().any(|allowed| allowed == value))
                })
        })
}

/// The smallest volume that is right for a claim on a node, but for those that are chosen for others.
pub(super) fn find(
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
    cluster: &Cluster,
    chosen: &[String],
) -> Option<String> {
    let mut best: Option<(i128, &String)> = None;
    for (name, volume) in cluster.storage.volumes() {
        if chosen.contains(name) || !is_large_enough(volume, claim) || mode(volume) != claim_mode(claim) {
            continue;
        }
        if volume.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        match reference {
            Some(reference) if !refers_to(reference, claim) => {}
            // One that somebody bound to this claim is the only one that is right.
            Some(_) => return can_be_used(volume, node, cluster).then(|| name.clone()),
            None => {
                let size = capacity(volume);
                let is_right = !cluster.storage.is_promised(name)
                    && is_available(volume, claim)
                    && can_be_used(volume, node, cluster);
                if is_right && best.is_none_or(|(least, _)| size < least) {
                    best = Some((size, name));
                }
            }
        }
    }
    best.map(|(_, name)| name.clone())
}

fn capacity(volume: &PersistentVolume) -> i128 {
    amount(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage")))
}

fn is_large_enough(volume: &Arc<PersistentVolume>, claim: &PersistentVolumeClaim) -> bool {
    capacity(volume) >= size_of(claim)
}

fn mode(volume: &PersistentVolume) -> &str {
    volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or("Filesystem")
}

fn claim_mode(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or("Filesystem")
}

fn refers_to(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    reference.name == claim.metadata.name
        && reference.namespace == claim.metadata.namespace
        && reference.uid.as_ref().is_none_or(|uid| uid.is_empty() || claim.metadata.uid.as_ref() == Some(uid))
}

fn is_available(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let modes = |modes: Option<&Vec<String>>| modes.cloned().unwrap_or_default();
    let offered = modes(volume.spec.as_ref().and_then(|spec| spec.access_modes.as_ref()));
    let wanted = modes(claim.spec.as_ref().and_then(|spec| spec.access_modes.as_ref()));
    phase == Some("Available")
        && class_of_volume(volume) == class_of(claim)
        && wanted.iter().all(|mode| offered.contains(mode))
        && selector.is_none_or(|selector| {
            parse_selector(selector).is_some_and(|selector| holds(&selector, volume.metadata.labels.as_ref()))
        })
}
