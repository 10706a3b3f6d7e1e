//! Containers: names, images, ports, environment, mounts.

use wherry_api::names;
use wherry_schema::Value;

use super::super::net::{check_port, check_protocol, port_name_problems};
use super::super::{Errors, Path};
use super::{check_choice, probe, resources, security};
use crate::object::Fields;

/// Fields of a Pod that a container's environment may refer to.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The rules of all containers of a Pod.
pub(super) fn check_containers(spec: &Value, path: &Path, errors: &mut Errors) {
    let containers = spec.items("containers");
    if containers.is_empty() {
        errors.required(&path.child("containers"), "");
    }
    let mut names_seen: Vec<&str> = Vec::new();
    let mut host_ports: Vec<String> = Vec::new();
    for (list, init) in [("containers", false), ("initContainers", true)] {
        for (index, container) in spec.items(list).iter().enumerate() {
            let path = path.child(list).index(index);
            let name = container.text("name");
            if !name.is_empty() && names_seen.contains(&name) {
                errors.duplicate(&path.child("name"), name);
            }
            names_seen.push(name);
            check_container(container, spec, &path, errors);
            check_ports(container, spec, if init { None } else { Some(&mut host_ports) }, &path, errors);
            if init {
                check_init(container, &path, errors);
            }
        }
    }
}

fn check_container(container: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let (name, image) = (container.text("name"), container.text("image"));
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    } else if let Err(reason) = names::dns1123_label(name) {
        errors.invalid(&path.child("name"), name, &reason);
    }
    if image.is_empty() {
        errors.required(&path.child("image"), "");
    } else if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
    check_choice(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], path, errors);
    probe::check_lifecycle(container, spec, path, errors);
    probe::check_probes(container, path, errors);
    check_choice(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    resources::check(container.field("resources"), &path.child("resources"), errors);
    check_environment(container, path, errors);
    check_mounts(container, spec, path, errors);
    security::check_container(container, path, errors);
}

fn check_init(container: &Value, path: &Path, errors: &mut Errors) {
    check_choice(container, "restartPolicy", &["Always", "Never", "OnFailure"], path, errors);
    if container.text("restartPolicy") == "Always" {
        return;
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if container.has(field) {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.forbidden(&path.child(field), detail);
        }
    }
}

fn check_ports(
    container: &Value,
    spec: &Value,
    host_ports: Option<&mut Vec<String>>,
    path: &Path,
    errors: &mut Errors,
) {
    let mut names_seen: Vec<&str> = Vec::new();
    let mut own = Vec::new();
    let host_ports = host_ports.unwrap_or(&mut own);
    for (index, port) in container.items("ports").iter().enumerate() {
        let path = path.child("ports").index(index);
        let name = port.text("name");
        if !name.is_empty() {
            for problem in port_name_problems(name) {
                errors.invalid(&path.child("name"), name, problem);
            }
            if names_seen.contains(&name) {
                errors.duplicate(&path.child("name"), name);
            }
            names_seen.push(name);
        }
        let number = port.int("containerPort").unwrap_or(0);
        if number == 0 {
            errors.required(&path.child("containerPort"), "");
        } else {
            check_port(number, &path.child("containerPort"), errors);
        }
        check_protocol(port.text("protocol"), &path.child("protocol"), errors);
        if let Some(host) = port.int("hostPort").filter(|p| *p != 0) {
            let path = path.child("hostPort");
            check_port(host, &path, errors);
            if spec.flag("hostNetwork") && host != number {
                errors.invalid(&path, host, "must match `containerPort` when `hostNetwork` is true");
            }
            let key = format!("{}/{}/{host}", port.text("protocol"), port.text("hostIP"));
            if host_ports.contains(&key) {
                errors.duplicate(&path, &key);
            }
            host_ports.push(key);
        }
    }
}

fn check_environment(container: &Value, path: &Path, errors: &mut Errors) {
    for (index, variable) in container.items("env").iter().enumerate() {
        let path = path.child("env").index(index);
        let name = variable.text("name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if let Err(reason) = names::env_var_name(name) {
            errors.invalid(&path.child("name"), name, &reason);
        }
        if let Some(source) = variable.field("valueFrom") {
            check_source(source, !variable.text("value").is_empty(), &path.child("valueFrom"), errors);
        }
    }
    for (index, source) in container.items("envFrom").iter().enumerate() {
        let path = path.child("envFrom").index(index);
        let prefix = source.text("prefix");
        if !prefix.is_empty()
            && let Err(reason) = names::env_var_name(prefix)
        {
            errors.invalid(&path.child("prefix"), prefix, &reason);
        }
        for kind in ["configMapRef", "secretRef"] {
            if source.has(kind) && source.field(kind).is_some_and(|r| r.text("name").is_empty()) {
                errors.required(&path.child(kind).child("name"), "");
            }
        }
        if !source.has("configMapRef") && !source.has("secretRef") {
            let detail = "must specify one of: `configMapRef` or `secretRef`";
            errors.invalid(&path, "", detail);
        }
    }
}

fn check_source(source: &Value, has_value: bool, path: &Path, errors: &mut Errors) {
    let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let given = kinds.iter().filter(|kind| source.has(kind)).count();
    match given {
        0 => errors.invalid(
            path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        1 if has_value => errors.invalid(path, "", "may not be specified when `value` is not empty"),
        1 => {}
        _ => errors.invalid(path, "", "may not have more than one field specified at a time"),
    }
    if let Some(field) = source.field("fieldRef") {
        check_field_ref(field.text("fieldPath"), &path.child("fieldRef.fieldPath"), errors);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let Some(reference) = source.field(kind) else { continue };
        for field in ["name", "key"] {
            if reference.text(field).is_empty() {
                errors.required(&path.child(kind).child(field), "");
            }
        }
        let key = reference.text("key");
        if !key.is_empty()
            && let Err(reason) = names::config_key(key)
        {
            errors.invalid(&path.child(kind).child("key"), key, &reason);
        }
    }
}

fn check_field_ref(field: &str, path: &Path, errors: &mut Errors) {
    if field.is_empty() {
        errors.required(path, "");
        return;
    }
    let subscript = field.strip_suffix("']").and_then(|f| f.split_once("['")).map(|(map, _)| map);
    let known = match subscript {
        Some(map) => matches!(map, "metadata.labels" | "metadata.annotations"),
        None => ENV_FIELDS.contains(&field),
    };
    if !known {
        let detail = format!("error converting fieldPath: field label not supported: {field}");
        errors.invalid(path, field, &detail);
    }
}

fn check_mounts(container: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let volumes: Vec<&str> = spec.items("volumes").iter().map(|v| v.text("name")).collect();
    let mut points: Vec<&str> = Vec::new();
    for (index, mount) in container.items("volumeMounts").iter().enumerate() {
        let list = path.child("volumeMounts");
        let path = list.index(index);
        let (name, point) = (mount.text("name"), mount.text("mountPath"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !volumes.contains(&name) {
            errors.not_found(&path.child("name"), name);
        }
        if point.is_empty() {
            errors.required(&path.child("mountPath"), "");
        } else if points.contains(&point) {
            errors.invalid(&path.child("mountPath"), point, "must be unique");
        }
        points.push(point);
        for field in ["subPath", "subPathExpr"] {
            check_local_path(mount.text(field), &list.child(field), errors);
        }
        if !mount.text("subPath").is_empty() && !mount.text("subPathExpr").is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(&path.child("subPathExpr"), mount.text("subPathExpr"), detail);
        }
        let modes = ["Bidirectional", "HostToContainer", "None"];
        check_choice(mount, "mountPropagation", &modes, &path, errors);
    }
}

/// Refuses paths that leave the place they are in.
pub(super) fn check_local_path(text: &str, path: &Path, errors: &mut Errors) {
    if text.starts_with('/') {
        errors.invalid(path, text, "must be a relative path");
    }
    if text.split('/').any(|part| part == "..") {
        errors.invalid(path, text, "must not contain '..'");
    }
}
