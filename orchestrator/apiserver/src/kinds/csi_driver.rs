//! CSIDriver: what a storage driver can do and wants to know.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, drivers};

/// The rules of CSIDrivers.
pub(crate) struct CsiDriver;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("AttachRequired", "boolean", "storage.v1.CSIDriverSpec.attachRequired"),
    Column::of("PodInfoOnMount", "boolean", "storage.v1.CSIDriverSpec.podInfoOnMount"),
    Column::of("StorageCapacity", "boolean", "storage.v1.CSIDriverSpec.storageCapacity"),
    Column::of("TokenRequests", "string", "storage.v1.CSIDriverSpec.tokenRequests"),
    Column::of("RequiresRepublish", "boolean", "storage.v1.CSIDriverSpec.requiresRepublish"),
    Column::of("Modes", "string", "storage.v1.CSIDriverSpec.volumeLifecycleModes"),
    table::AGE,
];

impl Rules for CsiDriver {
    fn generation(&self) -> &'static [&'static str] {
        &["spec.tokenRequests", "spec.requiresRepublish", "spec.seLinuxMount"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        // Generations are counted from the first change on.
        object.take("metadata.generation");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        drivers::check_driver(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        drivers::check_driver_update(object, old, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let unset = !object.has("spec.serviceAccountTokenInSecrets");
        let text = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to \
                    prevent possible logging of tokens in volume attributes";
        if unset && !object.items("spec.tokenRequests").is_empty() {
            vec![text.to_owned()]
        } else {
            Vec::new()
        }
    }

    fn update_warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let attach = object.field("spec.attachRequired").and_then(Value::as_bool).unwrap_or(true);
        let modes: Vec<&str> =
            object.items("spec.volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
        let audiences: Vec<&str> =
            object.items("spec.tokenRequests").iter().map(|request| request.text("audience")).collect();
        vec![
            table::name(object),
            attach.into(),
            object.flag("spec.podInfoOnMount").into(),
            object.flag("spec.storageCapacity").into(),
            if object.has("spec.tokenRequests") { audiences.join(",").into() } else { "<unset>".into() },
            object.flag("spec.requiresRepublish").into(),
            if modes.is_empty() { "<none>".into() } else { modes.join(",").into() },
            table::age(object, now),
        ]
    }
}
