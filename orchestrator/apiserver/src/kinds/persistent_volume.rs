//! PersistentVolume: storage that exists beside Pods.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use super::persistent_volume_claim::modes;
use super::pod_warnings::of_node_term;
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
/// Kinds of storage that nothing makes any more.
const DEPRECATED: &[(&str, &str)] = &[
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
];
/// The annotation that once held the class of storage.
pub(super) const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// What is said to who uses it.
pub(super) const CLASS_MOVED: &str = "deprecated since v1.8; use \"storageClassName\" attribute instead";
/// Annotations that have become fields.
const ANNOTATIONS: &[(&str, &str)] = &[
    (CLASS, CLASS_MOVED),
    (
        "volume.beta.kubernetes.io/mount-options",
        "deprecated since v1.31; use \"mountOptions\" attribute instead",
    ),
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
        let (mut new, before) = (source(object), source(old));
        let expand = "csi.controllerExpandSecretRef";
        if before.has("csi") && !before.has(expand) {
            new.take(expand);
        }
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
        let attributes = "spec.volumeAttributesClassName";
        if old.has(attributes) && !object.has(attributes) {
            errors.forbidden(&Path::new(attributes), "update from non-nil value to nil is forbidden");
        }
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        wherry_api::names::dns1123_subdomain(name)
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let (mut warnings, spec) = (Vec::new(), Path::new("spec"));
        let terms = object.items("spec.nodeAffinity.required.nodeSelectorTerms");
        for (index, term) in terms.iter().enumerate() {
            let at = spec.child("nodeAffinity.required.nodeSelectorTerms").index(index);
            of_node_term(term, false, &at, &mut warnings);
        }
        for (key, why) in ANNOTATIONS {
            if object.at(&["metadata", "annotations", key]).is_some() {
                warnings.push(format!("{}: {why}", Path::new("metadata.annotations").key(key)));
            }
        }
        if object.text("spec.persistentVolumeReclaimPolicy") == "Recycle" {
            let why = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic \
                       provisioning.";
            warnings.push(format!("spec.persistentVolumeReclaimPolicy: {why}"));
        }
        for (kind, why) in DEPRECATED.iter().filter(|(kind, _)| object.has(&format!("spec.{kind}"))) {
            let shown = if *kind == "storageos" { "storageOS" } else { kind };
            warnings.push(format!("spec.persistentVolumeSource.{shown}: {why}"));
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
    let annotation = object.at(&["metadata", "annotations", CLASS]);
    annotation.and_then(Value::as_str).unwrap_or_else(|| object.text("spec.storageClassName"))
}
