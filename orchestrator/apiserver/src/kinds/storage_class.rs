//! StorageClass: a kind of storage that claims ask for by name.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, drivers};

/// The rules of StorageClasses.
pub(crate) struct StorageClass;

/// The annotation that makes a class the one of claims that name none.
const DEFAULT: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Provisioner", "string", "storage.v1.StorageClass.provisioner"),
    Column::of("ReclaimPolicy", "string", "storage.v1.StorageClass.reclaimPolicy"),
    Column::of("VolumeBindingMode", "string", "storage.v1.StorageClass.volumeBindingMode"),
    Column::of("AllowVolumeExpansion", "string", "storage.v1.StorageClass.allowVolumeExpansion"),
    table::AGE,
];

impl Rules for StorageClass {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        drivers::check_class(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            errors.immutable(object, old, field);
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        drivers::class_warnings(object)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let annotations = object.map("metadata.annotations");
        let is_default =
            DEFAULT.iter().any(|key| annotations.and_then(|a| a.get(key)?.as_str()) == Some("true"));
        let name = object.text("metadata.name");
        vec![
            if is_default { format!("{name} (default)").into() } else { name.into() },
            object.text("provisioner").into(),
            table::text_or(object, "reclaimPolicy", "Delete"),
            table::text_or(object, "volumeBindingMode", "Immediate"),
            object.flag("allowVolumeExpansion").into(),
            table::age(object, now),
        ]
    }
}
