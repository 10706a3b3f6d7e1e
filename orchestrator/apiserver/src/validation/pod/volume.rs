//! Volumes of a Pod.

use wherry_api::quantity::Quantity;
use wherry_schema::Value;

use super::environment::{self, FILES};
use super::mounts::check_file_path;
use super::source::{self, Disks};
use crate::object::Fields;
use crate::validation::values::{quantity, required, required_choice};
use crate::validation::{Errors, Path, meta, names, storage};

/// The values of `imagePullPolicy`.
pub(super) const PULL: &[&str] = &["Always", "IfNotPresent", "Never"];

/// Sources in the order upstream looks for them.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// The rules of all volumes of a Pod; answers those that keep them, which containers can mount.
pub(super) fn check_volumes<'a>(
    spec: &'a Value,
    metadata: Option<&Value>,
    path: &Path,
    errors: &mut Errors,
) -> Vec<&'a Value> {
    let pod = metadata.map_or("", |metadata| metadata.text("name"));
    let volumes = spec.items("volumes");
    let made: Vec<String> = volumes
        .iter()
        .filter(|volume| !pod.is_empty() && volume.has("ephemeral"))
        .map(|volume| format!("{pod}-{}", volume.text("name")))
        .collect();
    let mut good: Vec<&Value> = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let (name, path) = (volume.text("name"), path.child("volumes").index(index));
        let mut own = Errors::default();
        check_source(volume, pod, &path, &mut own);
        if required(volume, "name", &path, &mut own) {
            own.problems(&path.child("name"), name, names::label(name));
        }
        if good.iter().any(|other| other.text("name") == name) {
            own.duplicate(&path.child("name"), name);
        }
        if own.is_empty() {
            good.push(volume);
        }
        errors.append(own);
        let claim = volume.text("persistentVolumeClaim.claimName");
        if made.iter().any(|name| name == claim) {
            let path = path.child("persistentVolumeClaim.claimName");
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.invalid(&path, claim, detail);
        }
    }
    good
}

fn check_source(volume: &Value, pod: &str, path: &Path, errors: &mut Errors) {
    let mut given = SOURCES.iter().filter(|kind| volume.has(kind));
    let Some(kind) = given.next() else {
        errors.required(path, "must specify a volume type");
        return;
    };
    if let Some(source) = volume.field(kind) {
        check_kind((kind, source), (volume.text("name"), pod), path, errors);
    }
    for extra in given {
        errors.forbidden(&path.child(extra), "may not specify more than 1 volume type");
    }
}

fn check_kind((kind, source): (&str, &Value), (name, pod): (&str, &str), parent: &Path, errors: &mut Errors) {
    let path = parent.child(kind);
    match kind {
        "emptyDir" => {
            if quantity(source, "sizeLimit").is_some_and(|limit| limit < Quantity::default()) {
                let detail = "SizeLimit field must be a valid resource quantity";
                errors.forbidden(&path.child("sizeLimit"), detail);
            }
        }
        "gitRepo" => source::check_git(source, &path, errors),
        "secret" | "configMap" => {
            let field = if kind == "secret" { "secretName" } else { "name" };
            required(source, field, &path, errors);
            check_mode(source, "defaultMode", &path, errors);
            check_items(source, &path, errors);
        }
        "persistentVolumeClaim" => drop(required(source, "claimName", &path, errors)),
        "downwardAPI" => {
            check_mode(source, "defaultMode", &path, errors);
            source.items("items").iter().for_each(|file| check_file(file, &path, errors));
        }
        "projected" => super::projected::check(source, &path, errors),
        "ephemeral" => check_ephemeral(source, (name, pod), &path, errors),
        "image" => {
            required(source, "reference", &path, errors);
            required_choice(source, "pullPolicy", PULL, &path, errors);
        }
        "iscsi" => {
            source::check_disk(kind, source, Disks::OfPod, &path, errors);
            let length = name.len() + 1 + source.text("targetPortal").len();
            if source.has("initiatorName") && length > 64 {
                let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                              iscsi.initiatorName is specified.";
                errors.invalid(&parent.child("name"), name, detail);
            }
        }
        _ => source::check_disk(kind, source, Disks::OfPod, &path, errors),
    }
}

/// The rules of the bits of a file's mode.
pub(super) fn check_mode(source: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(mode) = source.int(field).filter(|mode| !(0..=0o777).contains(mode)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.invalid(&path.child(field), mode, detail);
    }
}

/// The rules of keys that become files.
pub(super) fn check_items(source: &Value, path: &Path, errors: &mut Errors) {
    for (index, item) in source.items("items").iter().enumerate() {
        let path = path.child("items").index(index);
        required(item, "key", &path, errors);
        required(item, "path", &path, errors);
        check_file_path(item.text("path"), &path.child("path"), errors);
        check_mode(item, "mode", &path, errors);
    }
}

/// The rules of a file that holds a field of the Pod.
pub(super) fn check_file(file: &Value, path: &Path, errors: &mut Errors) {
    required(file, "path", path, errors);
    check_file_path(file.text("path"), &path.child("path"), errors);
    if let Some(field) = file.field("fieldRef") {
        environment::check_field(field, FILES, &path.child("fieldRef"), errors);
        if file.has("resourceFieldRef") {
            let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.invalid(path, "resource", detail);
        }
    } else if let Some(resource) = file.field("resourceFieldRef") {
        environment::check_resource(resource, true, &path.child("resourceFieldRef"), errors);
    } else {
        errors.required(path, "one of fieldRef and resourceFieldRef is required");
    }
    check_mode(file, "mode", path, errors);
}

fn check_ephemeral(source: &Value, (name, pod): (&str, &str), path: &Path, errors: &mut Errors) {
    let at = path.child("volumeClaimTemplate");
    let Some(template) = source.field("volumeClaimTemplate") else {
        errors.required(&at, "");
        return;
    };
    let metadata = at.child("metadata");
    meta::check_annotations(template.map("metadata.annotations"), &metadata.child("annotations"), errors);
    meta::check_labels(template.map("metadata.labels"), &metadata.child("labels"), errors);
    let fields = template.map("metadata").into_iter().flat_map(wherry_schema::Object::keys);
    for field in fields.filter(|field| !matches!(field.as_str(), "annotations" | "labels")) {
        errors.forbidden(&metadata.child(field), "cannot be set");
    }
    storage::check_claim_spec(template.field("spec").unwrap_or(&Value::Null), &at.child("spec"), errors);
    if !pod.is_empty() {
        let claim = format!("{pod}-{name}");
        for problem in names::subdomain(&claim) {
            let detail = format!("PVC name {claim:?}: {problem}");
            errors.invalid(&path.child("name"), name, &detail);
        }
    }
}
