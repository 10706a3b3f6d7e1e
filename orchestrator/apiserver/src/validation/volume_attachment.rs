//! Rules of VolumeAttachments.

use wherry_schema::{Object, Value};

use super::drivers::check_driver_name;
use super::internal;
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
        (None, Some(_)) => {}
    }
    errors.subdomain(object.text("spec.nodeName"), &spec.child("nodeName"));
    check_status(object, errors);
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
