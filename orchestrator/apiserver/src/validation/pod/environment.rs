//! The environment of a container, and references to fields of its Pod.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::names;
use crate::validation::values::{quantity, required};
use crate::validation::{Errors, Path};

/// Fields of a Pod that an environment may refer to.
const VARIABLES: &[&str] = &[
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
/// Fields of a Pod that files may hold.
pub(super) const FILES: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Fields of a Pod that there are.
const KNOWN: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SIZES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// The rules of `env` and `envFrom`.
pub(super) fn check(container: &Value, path: &Path, errors: &mut Errors) {
    for (index, variable) in container.items("env").iter().enumerate() {
        let (path, name) = (path.child("env").index(index), variable.text("name"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            errors.problems(&path.child("name"), name, names::variable(name));
        }
        if let Some(source) = variable.field("valueFrom") {
            let has_value = !variable.text("value").is_empty();
            check_source(source, has_value, &path.child("valueFrom"), errors);
        }
    }
    let list = path.child("envFrom");
    for (index, source) in container.items("envFrom").iter().enumerate() {
        let (path, prefix) = (list.index(index), source.text("prefix"));
        if !prefix.is_empty() {
            errors.problems(&path.child("prefix"), prefix, names::variable(prefix));
        }
        let given: Vec<&&str> = ["configMapRef", "secretRef"].iter().filter(|k| source.has(k)).collect();
        for kind in &given {
            let (reference, path) = (source.field(kind).unwrap_or(&Value::Null), path.child(kind));
            if required(reference, "name", &path, errors) {
                let name = reference.text("name");
                errors.problems(&path.child("name"), name, names::subdomain(&names::without_end(name)));
            }
        }
        match given.len() {
            0 => errors.invalid(&list, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(&list, "", "may not have more than one field specified at a time"),
        }
    }
}

fn check_source(source: &Value, has_value: bool, path: &Path, errors: &mut Errors) {
    let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let mut count = 0;
    for kind in kinds {
        let Some(reference) = source.field(kind) else { continue };
        count += 1;
        let path = path.child(kind);
        match kind {
            "fieldRef" => check_field(reference, VARIABLES, &path, errors),
            "resourceFieldRef" => check_resource(reference, false, &path, errors),
            "fileKeyRef" => check_file(reference, &path, errors),
            _ => check_key(reference, &path, errors),
        }
    }
    let detail = match (count, has_value) {
        (0, _) => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        (_, true) => "may not be specified when `value` is not empty",
        (1, false) => return,
        (_, false) => "may not have more than one field specified at a time",
    };
    errors.invalid(path, "", detail);
}

fn check_key(reference: &Value, path: &Path, errors: &mut Errors) {
    let name = reference.text("name");
    errors.problems(&path.child("name"), name, names::subdomain(name));
    if required(reference, "key", path, errors) {
        let key = reference.text("key");
        errors.problems(&path.child("key"), key, names::config_key(key));
    }
}

fn check_file(reference: &Value, path: &Path, errors: &mut Errors) {
    if required(reference, "key", path, errors) {
        let key = reference.text("key");
        errors.problems(&path.child("key"), key, names::variable(key));
    }
    if required(reference, "volumeName", path, errors) {
        let name = reference.text("volumeName");
        errors.problems(&path.child("volumeName"), name, names::label(name));
    }
    if required(reference, "path", path, errors) {
        super::mounts::check_local_path(reference.text("path"), &path.child("path"), errors);
    }
}

/// The rules of a reference to a field of the Pod, one of `allowed`.
pub(super) fn check_field(reference: &Value, allowed: &[&str], path: &Path, errors: &mut Errors) {
    if !required(reference, "apiVersion", path, errors) || !required(reference, "fieldPath", path, errors) {
        return;
    }
    let (version, field) = (reference.text("apiVersion"), reference.text("fieldPath"));
    let subscript = field.strip_suffix("']").and_then(|f| f.split_once("['"));
    let unknown = match subscript {
        _ if version != "v1" => Some(format!("unsupported pod version: {version}")),
        Some((map, _)) if !matches!(map, "metadata.annotations" | "metadata.labels") => {
            Some(format!("field label does not support subscript: {field}"))
        }
        None if !KNOWN.contains(&field) => Some(format!("field label not supported: {field}")),
        _ => None,
    };
    if let Some(unknown) = unknown {
        let detail = format!("error converting fieldPath: {unknown}");
        errors.invalid(&path.child("fieldPath"), field, &detail);
        return;
    }
    match subscript {
        Some(("metadata.annotations", key)) => {
            errors.problems(path, key, names::qualified(&key.to_lowercase()));
        }
        Some((_, key)) => errors.problems(path, key, names::qualified(key)),
        None if !allowed.contains(&field) => {
            errors.unsupported(&path.child("fieldPath"), field, allowed);
        }
        None => {}
    }
}

/// The rules of a reference to a container's requests or limits.
pub(super) fn check_resource(reference: &Value, in_volume: bool, path: &Path, errors: &mut Errors) {
    let resource = reference.text("resource");
    let huge = |text: &str| text.starts_with("limits.hugepages-") || text.starts_with("requests.hugepages-");
    if in_volume && reference.text("containerName").is_empty() {
        errors.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        errors.required(&path.child("resource"), "");
    } else if !RESOURCES.contains(&resource) && !huge(resource) {
        errors.unsupported(&path.child("resource"), resource, RESOURCES);
    }
    let Some(divisor) = quantity(reference, "divisor").filter(|d| !d.is_zero()) else { return };
    let text = divisor.to_string();
    let (allowed, subject): (&[&str], &str) = match resource.split_once('.').map(|(_, name)| name) {
        Some("cpu") => (&["1m", "1"], "cpu resource"),
        Some("memory") => (SIZES, "memory resource"),
        Some("ephemeral-storage") => (SIZES, "local ephemeral storage resource"),
        Some(_) if huge(resource) => (SIZES, "hugepages resource"),
        _ => return,
    };
    if !allowed.contains(&text.as_str()) {
        let list = if allowed.len() == 2 { "1m and 1".to_owned() } else { allowed.join(", ") };
        let detail = format!("only divisor's values {list} are supported with the {subject}");
        errors.invalid(&path.child("divisor"), resource, &detail);
    }
}
