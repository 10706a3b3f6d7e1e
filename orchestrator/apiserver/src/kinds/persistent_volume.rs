//! PersistentVolume: storage that exists beside Pods.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use super::persistent_volume_claim::modes;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::storage::check_volume_spec;
use crate::validation::{Errors, Path, internal};

/// The rules of PersistentVolumes.
pub(crate) struct PersistentVolume;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Capacity", "string", "core.v1.PersistentVolumeSpec.capacity"),
    Column::of("Access Modes", "string", "core.v1.PersistentVolumeSpec.accessModes"),
    Column::of("Reclaim Policy", "string", "core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy"),
    Column::of("Status", "string", "core.v1.PersistentVolumeStatus.phase"),
    Column::of("Claim", "string", "core.v1.PersistentVolumeSpec.claimRef"),
    Column::new("StorageClass", "string", "StorageClass of the pv"),
    Column::new("VolumeAttributesClass", "string", "VolumeAttributesClass of the pv"),
    Column::of("Reason", "string", "core.v1.PersistentVolumeStatus.reason"),
    table::AGE,
    Column::of("VolumeMode", "string", "core.v1.PersistentVolumeSpec.volumeMode").in_wide(),
];

/// Fields of the spec that say how the volume is used, not what it is.
const SETTINGS: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];
const PHASE_TIME: &str = "status.lastPhaseTransitionTime";

impl Rules for PersistentVolume {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
        object.put("status.phase", "Pending");
    }

    fn stamp(&self, object: &mut Value, old: Option<&Value>, now: &str) {
        let moved = match old {
            None => true,
            Some(old) => {
                !object::same(object, old, "status.phase")
                    && (!object.has(PHASE_TIME) || object::same(object, old, PHASE_TIME))
            }
        };
        if moved {
            object.put(PHASE_TIME, now);
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = object.field("spec").unwrap_or(&Value::Null);
        check_volume_spec(spec, &Path::new("spec"), errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        // Upstream looks at the volume, and at the change, which looks at the volume again.
        self.validate(object, errors);
        self.validate(object, errors);
        self.validate_update(object, old, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let (new, before) = (source(object), source(old));
        if new != before {
            let difference = internal::difference("PersistentVolumeSource", &before, &new);
            let path = Path::new("spec.persistentvolumesource");
            errors.forbidden(&path, &format!("{path} is immutable after creation\n{difference}"));
        }
        if !object::same(object, old, "spec.volumeMode") {
            let shown = object.field("spec.volumeMode").unwrap_or(&Value::Null);
            errors.invalid(&Path::new("volumeMode"), shown, "field is immutable");
        }
        if old.has("spec.nodeAffinity") && !object::same(object, old, "spec.nodeAffinity") {
            let shown = internal::show("VolumeNodeAffinity", object.field("spec.nodeAffinity"));
            let detail = "field is immutable, except for updating from beta label to GA";
            errors.invalid(&Path::new("nodeAffinity"), shown, detail);
        }
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        wherry_api::names::dns1123_subdomain(name)
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        if object.text("spec.persistentVolumeReclaimPolicy") == "Recycle" {
            warnings.push(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
                 approach is to use dynamic provisioning."
                    .to_owned(),
            );
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let claim = object.field("spec.claimRef");
        let claim = claim.map_or(String::new(), |c| format!("{}/{}", c.text("namespace"), c.text("name")));
        let phase = if object::terminating(object) { "Terminating" } else { object.text("status.phase") };
        let capacity = object.map("spec.capacity").and_then(|list| list.get("storage")?.as_str());
        vec![
            table::name(object),
            capacity.unwrap_or("0").into(),
            modes(object.items("spec.accessModes")).into(),
            object.text("spec.persistentVolumeReclaimPolicy").into(),
            phase.into(),
            claim.into(),
            class(object).into(),
            table::text_or(object, "spec.volumeAttributesClassName", "<unset>"),
            object.text("status.reason").into(),
            table::age(object, now),
            table::text_or(object, "spec.volumeMode", "<unset>"),
        ]
    }
}

/// What the volume is made of.
fn source(object: &Value) -> Value {
    let mut spec = object.field("spec").cloned().unwrap_or(Value::object());
    for field in SETTINGS {
        spec.take(field);
    }
    spec
}

/// The class of the storage, in either of the places it can be said.
pub(super) fn class(object: &Value) -> &str {
    let annotation = object.at(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    annotation.and_then(Value::as_str).unwrap_or_else(|| object.text("spec.storageClassName"))
}
