//! The rules of claims of storage and of the volumes that fill them.

use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use super::pod::{Disks, check_disk, check_local, check_node_selector};
use super::template::check_label_selector;
use super::values::{amount_of, amounts, choice, required};
use super::{Errors, Path, Shown, names};
use crate::object::Fields;

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// Sources of volumes in the order upstream looks for them.
const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// The rules of how storage may be used by how many.
pub(super) fn check_modes(spec: &Value, path: &Path, errors: &mut Errors) {
    let modes: Vec<&str> = spec.items("accessModes").iter().filter_map(Value::as_str).collect();
    let path = path.child("accessModes");
    for mode in modes.iter().filter(|mode| !MODES.contains(mode)) {
        errors.unsupported(&path, *mode, MODES);
    }
    let others = || modes.iter().any(|mode| *mode != "ReadWriteOncePod" && MODES.contains(mode));
    if modes.contains(&"ReadWriteOncePod") && others() {
        errors.forbidden(&path, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Refuses an amount of storage that is none.
fn check_positive(amount: Quantity, path: &Path, errors: &mut Errors) {
    if amount <= Quantity::default() {
        errors.invalid(path, amount, "must be greater than zero");
    }
}

/// The rules of a claim's spec.
pub(crate) fn check_claim_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec.items("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    if let Some(selector) = spec.field("selector") {
        check_label_selector(selector, &path.child("selector"), errors);
    }
    check_modes(spec, path, errors);
    let at = path.child("resources").key("storage");
    match amount_of(spec.map("resources.requests"), "storage") {
        None => errors.required(&at, ""),
        Some(amount) => check_positive(amount, &at, errors),
    }
    let class = spec.text("storageClassName");
    if !class.is_empty() {
        errors.problems(&path.child("storageClassName"), class, names::subdomain(class));
    }
    choice(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
    check_sources(spec, path, errors);
    let attributes = spec.text("volumeAttributesClassName");
    if !attributes.is_empty() {
        let path = path.child("volumeAttributesClassName");
        errors.problems(&path, attributes, names::subdomain(attributes));
    }
}

/// The rules of what a claim's storage is filled with.
fn check_sources(spec: &Value, path: &Path, errors: &mut Errors) {
    for field in ["dataSource", "dataSourceRef"] {
        let Some(source) = spec.field(field) else { continue };
        let path = path.child(field);
        required(source, "name", &path, errors);
        required(source, "kind", &path, errors);
        let group = source.text("apiGroup");
        if group.is_empty() && source.text("kind") != "PersistentVolumeClaim" {
            let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.invalid(&path, source.text("kind"), detail);
        }
        if !group.is_empty() {
            errors.problems(&path.child("apiGroup"), group, names::subdomain(group));
        }
        let namespace = source.text("namespace");
        if !namespace.is_empty() {
            errors.problems(&path.child("namespace"), namespace, names::label(namespace));
        }
    }
    let (source, reference) = (spec.field("dataSource"), spec.field("dataSourceRef"));
    if let (Some(source), Some(reference)) = (source, reference) {
        let differ = ["kind", "name", "apiGroup"].iter().any(|f| source.text(f) != reference.text(f));
        let detail = if !reference.text("namespace").is_empty() {
            "may not be specified when dataSourceRef.namespace is specified"
        } else if differ {
            "must match dataSourceRef"
        } else {
            return;
        };
        // Upstream shows the path of the field as if it were its value, and a path has no public fields.
        errors.invalid(path, Shown::raw("{}"), detail);
    }
}

/// The rules of a volume's spec.
pub(crate) fn check_volume_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec.items("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "");
    }
    check_modes(spec, path, errors);
    check_capacity(spec.map("capacity"), &path.child("capacity"), errors);
    choice(spec, "persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"], path, errors);
    let constrained = check_affinity(spec.field("nodeAffinity"), &path.child("nodeAffinity"), errors);
    check_source(spec, constrained, path, errors);
    if is_root(spec.text("hostPath.path")) && spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.forbidden(&path.child("persistentVolumeReclaimPolicy"), detail);
    }
    let class = spec.text("storageClassName");
    if !class.is_empty() {
        errors.problems(&path.child("storageClassName"), class, names::subdomain(class));
    }
    choice(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
    if let Some(attributes) = spec.field("volumeAttributesClassName").and_then(Value::as_str) {
        let at = path.child("volumeAttributesClassName");
        if attributes.is_empty() {
            errors.required(&at, "an empty string is disallowed");
        } else {
            errors.problems(&at, attributes, names::subdomain(attributes));
        }
        if !spec.has("csi") {
            errors.required(&path.child("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

/// Whether a path leads to the top of all files.
fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "." | ".."))
}

/// Refuses an amount that is no amount of storage.
pub(crate) fn check_basic(amount: Quantity, path: &Path, errors: &mut Errors) {
    if amount.value() < 0 {
        let shown = i64::try_from(amount.value()).unwrap_or(i64::MIN);
        errors.invalid(path, shown, "must be a valid resource quantity");
    }
}

fn check_capacity(capacity: Option<&Object>, path: &Path, errors: &mut Errors) {
    if capacity.is_none_or(Object::is_empty) {
        errors.required(path, "");
    }
    if amount_of(capacity, "storage").is_none() || capacity.is_some_and(|capacity| capacity.len() > 1) {
        let shown = capacity.map_or(Value::Null, |capacity| Value::Object(capacity.clone()));
        errors.unsupported(path, &shown, &["storage"]);
    }
    for (name, amount) in amounts(capacity) {
        let path = path.key(name);
        check_basic(amount, &path, errors);
        check_positive(amount, &path, errors);
    }
}

/// The rules of where a volume can be used; says whether it cannot be used everywhere.
fn check_affinity(affinity: Option<&Value>, path: &Path, errors: &mut Errors) -> bool {
    let Some(affinity) = affinity else { return false };
    let path = path.child("required");
    match affinity.field("required") {
        Some(selector) => check_node_selector(selector, &path, errors),
        None => errors.required(&path, "must specify required node constraints"),
    }
    true
}

pub(super) fn check_source(spec: &Value, constrained: bool, path: &Path, errors: &mut Errors) {
    let mut given = SOURCES.iter().filter(|kind| spec.has(kind));
    let Some(kind) = given.next() else {
        errors.required(path, "must specify a volume type");
        return;
    };
    for (first, kind) in std::iter::once((true, kind)).chain(given.map(|kind| (false, kind))) {
        let Some(source) = spec.field(kind) else { continue };
        if !first {
            errors.forbidden(&path.child(kind), "may not specify more than 1 volume type");
        } else if *kind == "local" {
            check_local(source, &path.child(kind), errors);
            if !constrained {
                errors.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
            }
        } else {
            // Upstream has another name for this one.
            let shown = if *kind == "gcePersistentDisk" { "persistentDisk" } else { kind };
            check_disk(kind, source, Disks::Persistent, &path.child(shown), errors);
        }
    }
}
