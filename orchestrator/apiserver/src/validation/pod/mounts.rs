//! Where a container sees volumes, as files or as devices.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::{Errors, Path};

/// The rules of `volumeMounts` and `volumeDevices`.
pub(super) fn check(container: &Value, volumes: &[&Value], path: &Path, errors: &mut Errors) {
    check_mounts(container, volumes, &path.child("volumeMounts"), errors);
    check_devices(container, volumes, &path.child("volumeDevices"), errors);
}

fn find<'a>(volumes: &[&'a Value], name: &str) -> Option<&'a Value> {
    volumes.iter().find(|volume| volume.text("name") == name).copied()
}

fn check_mounts(container: &Value, volumes: &[&Value], list: &Path, errors: &mut Errors) {
    let devices = container.items("volumeDevices");
    let mut points: Vec<&str> = Vec::new();
    for (index, mount) in container.items("volumeMounts").iter().enumerate() {
        let (path, name, point) = (list.index(index), mount.text("name"), mount.text("mountPath"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        if find(volumes, name).is_none() {
            errors.not_found(&path.child("name"), name);
        }
        if point.is_empty() {
            errors.required(&path.child("mountPath"), "");
        }
        if points.contains(&point) {
            errors.invalid(&path.child("mountPath"), point, "must be unique");
        }
        points.push(point);
        if devices.iter().any(|device| device.text("name") == name) {
            errors.invalid(&path.child("name"), name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|device| device.text("devicePath") == point) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.invalid(&path.child("mountPath"), point, detail);
        }
        check_part(mount, list, &path, errors);
        check_propagation(container, mount, (list, &path), errors);
    }
}

/// The rules of mounting a part of a volume. Upstream names the list, not the mount, for some of them.
fn check_part(mount: &Value, list: &Path, path: &Path, errors: &mut Errors) {
    let (sub, expression) = (mount.text("subPath"), mount.text("subPathExpr"));
    if !sub.is_empty() {
        check_local_path(sub, &list.child("subPath"), errors);
    }
    if !expression.is_empty() {
        if !sub.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(&path.child("subPathExpr"), expression, detail);
        }
        check_local_path(expression, &list.child("subPathExpr"), errors);
    }
}

fn check_propagation(container: &Value, mount: &Value, (list, path): (&Path, &Path), errors: &mut Errors) {
    let mode = mount.field("mountPropagation").and_then(Value::as_str);
    if let Some(mode) = mode {
        let path = list.child("mountPropagation");
        let modes = ["Bidirectional", "HostToContainer", "None"];
        if !modes.contains(&mode) {
            errors.unsupported(&path, mode, &modes);
        }
        if mode == "Bidirectional" && !container.flag("securityContext.privileged") {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.forbidden(&path, detail);
        }
    }
    let path = path.child("recursiveReadOnly");
    match mount.field("recursiveReadOnly").and_then(Value::as_str) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.flag("readOnly") {
                errors.forbidden(&path, "may only be specified when readOnly is true");
            }
            if mode.is_some_and(|mode| mode != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.forbidden(&path, detail);
            }
        }
        Some(other) => errors.unsupported(&path, other, &["Disabled", "IfPossible", "Enabled"]),
    }
}

fn check_devices(container: &Value, volumes: &[&Value], list: &Path, errors: &mut Errors) {
    let mounts = container.items("volumeMounts");
    let (mut names, mut paths): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (index, device) in container.items("volumeDevices").iter().enumerate() {
        let (path, name, point) = (list.index(index), device.text("name"), device.text("devicePath"));
        let (at_name, at_path) = (path.child("name"), path.child("devicePath"));
        if name.is_empty() {
            errors.required(&at_name, "");
        }
        if names.contains(&name) {
            errors.invalid(&at_name, name, "must be unique");
        }
        match find(volumes, name) {
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(&at_name, name, detail);
            }
            Some(_) => {}
            None => errors.not_found(&at_name, name),
        }
        if point.is_empty() {
            errors.required(&at_path, "");
        }
        if paths.contains(&point) {
            errors.invalid(&at_path, point, "must be unique");
        }
        if goes_up(point) {
            errors.invalid(&at_path, point, "can not contain backsteps ('..')");
        }
        if mounts.iter().any(|mount| mount.text("name") == name) {
            errors.invalid(&at_name, name, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|mount| mount.text("mountPath") == point) {
            errors.invalid(&at_path, point, "must not already exist as a path in volumeMounts");
        }
        names.push(name);
        paths.push(point);
    }
}

fn goes_up(text: &str) -> bool {
    text.split('/').any(|part| part == "..")
}

/// Refuses paths that leave the place they are in.
pub(super) fn check_local_path(text: &str, path: &Path, errors: &mut Errors) {
    if text.starts_with('/') {
        errors.invalid(path, text, "must be a relative path");
    }
    check_no_backsteps(text, path, errors);
}

/// Refuses paths with `..` in them.
pub(super) fn check_no_backsteps(text: &str, path: &Path, errors: &mut Errors) {
    if goes_up(text) {
        errors.invalid(path, text, "must not contain '..'");
    }
}

/// Refuses paths that leave the place they are in, or look as if they did.
pub(super) fn check_file_path(text: &str, path: &Path, errors: &mut Errors) {
    check_local_path(text, path, errors);
    if text.starts_with("..") && !text.starts_with("../") && text != ".." {
        errors.invalid(path, text, "must not start with '..'");
    }
}
