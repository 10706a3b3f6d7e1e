//! Volumes.

use wherry_api::names;
use wherry_api::quantity::Quantity;
use wherry_schema::{Str, Value};

use super::super::{Errors, Path};
use super::container::check_local_path;
use crate::object::Fields;

/// Fields without which a source of a volume means nothing.
const REQUIRED: &[(&str, &[&str])] = &[
    ("azureFile", &["secretName", "shareName"]),
    ("csi", &["driver"]),
    ("ephemeral", &["volumeClaimTemplate"]),
    ("gitRepo", &["repository"]),
    ("image", &["reference"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("nfs", &["server", "path"]),
    ("rbd", &["monitors", "image"]),
];

/// The rules of all volumes of a Pod.
pub(super) fn check_volumes(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, volume) in spec.items("volumes").iter().enumerate() {
        let (name, path) = (volume.text("name"), path.child("volumes").index(index));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if let Err(reason) = names::dns1123_label(name) {
            errors.invalid(&path.child("name"), name, &reason);
        }
        if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        seen.push(name);
        check_source(volume, &path, errors);
    }
}

fn check_source(volume: &Value, path: &Path, errors: &mut Errors) {
    let Some(fields) = volume.as_object() else { return };
    let given: Vec<&str> = fields.keys().map(Str::as_str).filter(|k| *k != "name").collect();
    for extra in given.iter().skip(1) {
        errors.forbidden(&path.child(extra), "may not specify more than 1 volume type");
    }
    let Some(kind) = given.first() else {
        errors.required(path, "must specify a volume type");
        return;
    };
    let Some(source) = volume.field(kind) else { return };
    let path = path.child(kind);
    match *kind {
        "emptyDir" => check_empty_dir(source, &path, errors),
        "hostPath" => check_host_path(source, &path, errors),
        "configMap" => {
            require(source, "name", &path, errors);
            check_items(source, &path, errors);
        }
        "secret" => {
            require(source, "secretName", &path, errors);
            check_items(source, &path, errors);
        }
        "persistentVolumeClaim" => require(source, "claimName", &path, errors),
        "projected" => check_projected(source, &path, errors),
        "downwardAPI" => check_downward(source, &path, errors),
        _ => {
            let required =
                REQUIRED.iter().filter(|(name, _)| name == kind).flat_map(|(_, fields)| fields.iter());
            for field in required.filter(|field| is_blank(source, field)) {
                errors.required(&path.child(field), "");
            }
        }
    }
}

fn is_blank(source: &Value, field: &str) -> bool {
    source.field(field).is_none_or(|value| value.as_str() == Some(""))
}

fn require(source: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if source.text(field).is_empty() {
        errors.required(&path.child(field), "");
    }
}

fn check_empty_dir(source: &Value, path: &Path, errors: &mut Errors) {
    let limit = source.text("sizeLimit");
    if limit.parse::<Quantity>().is_ok_and(|q| q.is_negative()) {
        errors.forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
}

fn check_host_path(source: &Value, path: &Path, errors: &mut Errors) {
    let text = source.text("path");
    if text.is_empty() {
        errors.required(&path.child("path"), "");
    } else if text.split('/').any(|part| part == "..") {
        errors.invalid(&path.child("path"), text, "must not contain '..'");
    }
}

fn check_mode(source: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(mode) = source.int(field).filter(|m| !(0..=0o777).contains(m)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.invalid(&path.child(field), mode, detail);
    }
}

fn check_items(source: &Value, path: &Path, errors: &mut Errors) {
    check_mode(source, "defaultMode", path, errors);
    for (index, item) in source.items("items").iter().enumerate() {
        let path = path.child("items").index(index);
        require(item, "key", &path, errors);
        let target = item.text("path");
        if target.is_empty() {
            errors.required(&path.child("path"), "");
        } else {
            check_local_path(target, &path.child("path"), errors);
        }
        check_mode(item, "mode", &path, errors);
    }
}

fn check_downward(source: &Value, path: &Path, errors: &mut Errors) {
    check_mode(source, "defaultMode", path, errors);
    for item in source.items("items") {
        let target = item.text("path");
        if target.is_empty() {
            errors.required(&path.child("path"), "");
        } else {
            check_local_path(target, &path.child("path"), errors);
        }
        if !item.has("fieldRef") && !item.has("resourceFieldRef") {
            errors.required(path, "one of fieldRef and resourceFieldRef is required");
        }
    }
}

fn check_projected(source: &Value, path: &Path, errors: &mut Errors) {
    check_mode(source, "defaultMode", path, errors);
    for (index, part) in source.items("sources").iter().enumerate() {
        let path = path.child("sources").index(index);
        for kind in ["configMap", "secret"] {
            if let Some(part) = part.field(kind) {
                require(part, "name", &path.child(kind), errors);
                check_items(part, &path.child(kind), errors);
            }
        }
    }
}
