//! Rules of VolumeAttachments.

use wherry_schema::{Object, Value};

use super::drivers::check_driver_name;
use super::internal;
use super::storage::{check_modes, check_source};
use super::{Errors, Path};
use crate::object::{self, Fields};

const MAX_METADATA: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024;

/// The rules every VolumeAttachment keeps.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    check_driver_name(object.text("spec.attacher"), &spec.child("attacher"), errors);
    let (source, path) = (object.field("spec.source"), spec.child("source"));
    let named = source.and_then(|s| s.field("persistentVolumeName")?.as_str());
    let inline = source.and_then(|s| s.field("inlineVolumeSpec"));
    let exactly_one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (named, inline) {
        (None, None) => errors.required(&path, exactly_one),
        (Some(_), Some(_)) => errors.forbidden(&path, exactly_one),
        (Some(""), None) => {
            let detail = "must specify non empty persistentVolumeName";
            errors.required(&path.child("persistentVolumeName"), detail);
        }
        (Some(name), None) => errors.subdomain(name, &path.child("persistentVolumeName")),
        (None, Some(inline)) => check_inline(inline, &path.child("inlineVolumeSpec"), errors),
    }
    errors.subdomain(object.text("spec.nodeName"), &spec.child("nodeName"));
    check_status(object, errors);
}

/// A volume that is described in place says less than one that stands for itself.
fn check_inline(spec: &Value, path: &Path, errors: &mut Errors) {
    let forbid = |given: bool, field: &str, detail: &str, errors: &mut Errors| {
        if given {
            errors.forbidden(&path.child(field), &format!("{detail} in the context of inline volumes"));
        }
    };
    let (no, text) = ("may not be specified", |field: &str| spec.text(field));
    forbid(spec.has("claimRef"), "claimRef", no, errors);
    forbid(spec.map("capacity").is_some_and(|capacity| !capacity.is_empty()), "capacity", no, errors);
    if !spec.has("csi") {
        errors.required(&path.child("csi"), "has to be specified in the context of inline volumes");
    }
    if spec.items("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "");
    }
    check_modes(spec, path, errors);
    let policy = "persistentVolumeReclaimPolicy";
    forbid(!matches!(text(policy), "" | "Retain"), policy, "may only be Retain", errors);
    forbid(spec.has("nodeAffinity"), "nodeAffinity", no, errors);
    check_source(spec, spec.has("nodeAffinity"), path, errors);
    forbid(!text("storageClassName").is_empty(), "storageClassName", no, errors);
    let other = !matches!(text("volumeMode"), "" | "Filesystem");
    forbid(other, "volumeMode", "may not specify volumeMode other than Filesystem", errors);
}

/// The rules of the status.
pub(crate) fn check_status(object: &Value, errors: &mut Errors) {
    let status = Path::new("status");
    let metadata = object.map("status.attachmentMetadata").into_iter().flat_map(Object::iter);
    let mut size = 0;
    for (key, value) in metadata {
        if key.is_empty() {
            errors.required(&status.child("attachmentMetadata"), "");
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_METADATA {
        errors.too_long(&status.child("attachmentMetadata"), MAX_METADATA);
    }
    for field in ["attachError", "detachError"] {
        if object.text(&format!("status.{field}.message")).len() > MAX_MESSAGE {
            errors.too_long(&status.child(field).child("message"), MAX_MESSAGE);
        }
    }
}

/// An attachment stays what it is.
pub(crate) fn check_update(object: &Value, old: &Value, errors: &mut Errors) {
    if !object::same(object, old, "spec") {
        let shown = internal::show("VolumeAttachmentSpec", object.field("spec"));
        errors.invalid(&Path::new("spec"), shown, "field is immutable");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::told;

    #[test]
    fn a_volume_in_place_says_less() {
        let csi = json!({ "driver": "d.example.com", "volumeHandle": "h" });
        for (inline, wanted) in [
            (json!({ "accessModes": ["ReadWriteOnce"], "csi": csi }), ""),
            (
                json!({ "accessModes": ["ReadWriteOnce"], "csi": csi, "capacity": { "storage": "1Gi" } }),
                "capacity: Forbidden: may not be specified in the context of inline volumes",
            ),
            (json!({ "csi": csi }), "accessModes: Required value"),
            (
                json!({ "accessModes": ["ReadWriteOnce"], "csi": csi, "volumeMode": "Block" }),
                "volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes",
            ),
            (
                json!({ "accessModes": ["ReadWriteOnce"], "csi": csi, "persistentVolumeReclaimPolicy": "Delete" }),
                "persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes",
            ),
        ] {
            let spec = json!({ "attacher": "a.example.com", "nodeName": "n", "source": { "inlineVolumeSpec": inline } });
            let text = told::of_new("volumeattachments.storage.k8s.io", json!({ "spec": spec }));
            assert_eq!(text.replace("spec.source.inlineVolumeSpec.", ""), wanted);
        }
    }
}
