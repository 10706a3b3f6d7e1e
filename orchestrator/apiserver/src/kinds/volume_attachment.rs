//! VolumeAttachment: the wish that a volume be attached to a node, and what came of it.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, volume_attachment};

/// The rules of VolumeAttachments.
pub(crate) struct VolumeAttachment;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Attacher", "string", "storage.v1.VolumeAttachmentSpec.attacher").named(),
    Column::of("PV", "string", "storage.v1.VolumeAttachmentSource.persistentVolumeName"),
    Column::of("Node", "string", "storage.v1.VolumeAttachmentSpec.nodeName"),
    Column::of("Attached", "boolean", "storage.v1.VolumeAttachmentStatus.attached"),
    table::AGE,
];

impl Rules for VolumeAttachment {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
        object.put("status.attached", false);
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        volume_attachment::check(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        volume_attachment::check_update(object, old, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        volume_attachment::check_status(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            table::name(object),
            object.text("spec.attacher").into(),
            object.text("spec.source.persistentVolumeName").into(),
            object.text("spec.nodeName").into(),
            object.flag("status.attached").into(),
            table::age(object, now),
        ]
    }
}
