//! Defaults of volumes.

use super::{child, container, default, items, storage, text};
use crate::value::{Object, Str, Value};

/// Read and write for the owner, read for the others: `0644`.
const MODE: i64 = 420;

pub(super) fn volume(volume: &mut Object) {
    if volume.keys().all(|key| key == "name") {
        volume.insert(Str::fixed(&"emptyDir"), Value::object());
    }
    for name in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = child(volume, name) {
            default(source, &"defaultMode", MODE);
        }
    }
    if let Some(source) = child(volume, "hostPath") {
        default(source, &"type", text(&""));
    }
    if let Some(source) = child(volume, "downwardAPI") {
        items(source, "items").for_each(container::field_ref);
    }
    if let Some(source) = child(volume, "projected") {
        items(source, "sources").for_each(projection);
    }
    if let Some(source) = child(volume, "image") {
        let reference = source.get("reference").and_then(Value::as_str).unwrap_or_default();
        let policy = container::pull_policy(reference);
        default(source, &"pullPolicy", policy);
    }
    ephemeral(volume);
    network_disks(volume);
}

fn projection(projection: &mut Object) {
    if let Some(token) = child(projection, "serviceAccountToken") {
        default(token, &"expirationSeconds", 3600);
    }
    if let Some(source) = child(projection, "downwardAPI") {
        items(source, "items").for_each(container::field_ref);
    }
}

fn ephemeral(volume: &mut Object) {
    let template = child(volume, "ephemeral").and_then(|source| child(source, "volumeClaimTemplate"));
    if let Some(spec) = template.and_then(|template| child(template, "spec")) {
        storage::claim_spec(spec);
    }
}

/// The sources of a volume that exists beside Pods.
pub(super) fn persistent_sources(spec: &mut Object) {
    if let Some(source) = child(spec, "hostPath") {
        default(source, &"type", text(&""));
    }
    network_disks(spec);
}

fn network_disks(volume: &mut Object) {
    if let Some(source) = child(volume, "iscsi") {
        default(source, &"iscsiInterface", text(&"default"));
    }
    if let Some(source) = child(volume, "rbd") {
        default(source, &"pool", text(&"rbd"));
        default(source, &"user", text(&"admin"));
        default(source, &"keyring", text(&"/etc/ceph/keyring"));
    }
    if let Some(source) = child(volume, "azureDisk") {
        default(source, &"cachingMode", text(&"ReadWrite"));
        default(source, &"kind", text(&"Shared"));
        default(source, &"fsType", text(&"ext4"));
        default(source, &"readOnly", false);
    }
    if let Some(source) = child(volume, "scaleIO") {
        default(source, &"storageMode", text(&"ThinProvisioned"));
        default(source, &"fsType", text(&"xfs"));
    }
}
