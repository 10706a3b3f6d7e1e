//! The lists of containers: what each kind of container may and may not have.

use wherry_schema::Value;

use super::container::{self, Scope};
use super::probe;
use crate::object::Fields;
use crate::validation::{Errors, Path};

/// What an ephemeral container may not say.
const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// The rules of all containers of a Pod. `volumes` are those that keep the rules of volumes.
pub(super) fn check(spec: &Value, volumes: &[&Value], path: &Path, errors: &mut Errors) {
    let scope = Scope::new(spec, volumes);
    check_regular(spec, &scope, &path.child("containers"), errors);
    check_init(spec, &scope, &path.child("initContainers"), errors);
    check_ephemeral(spec, &scope, &path.child("ephemeralContainers"), errors);
}

/// The rules of ephemeral containers, which are added while a Pod runs.
pub(super) fn check_ephemeral_list(spec: &Value, path: &Path, errors: &mut Errors) {
    let volumes: Vec<&Value> = spec.items("volumes").iter().collect();
    check_ephemeral(spec, &Scope::new(spec, &volumes), path, errors);
}

/// The rules of images that Pods keep and templates need not.
pub(crate) fn check_images(spec: &Value, path: &Path, errors: &mut Errors) {
    for list in ["containers", "initContainers"] {
        for (index, container) in spec.items(list).iter().enumerate() {
            container::check_image(container, &path.child(list).index(index), errors);
        }
    }
}

fn check_regular(spec: &Value, scope: &Scope<'_>, path: &Path, errors: &mut Errors) {
    let containers = spec.items("containers");
    if containers.is_empty() {
        errors.required(path, "");
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let (path, name) = (path.index(index), container.text("name"));
        container::check(container, scope, &path, errors);
        if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        seen.push(name);
        probe::check_lifecycle(container, scope.grace, &path, errors);
        probe::check_probes(container, scope.grace, &path, errors);
    }
    check_host_ports(containers, path, errors);
}

fn check_init(spec: &Value, scope: &Scope<'_>, list: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = spec.items("containers").iter().map(|c| c.text("name")).collect();
    for (index, container) in spec.items("initContainers").iter().enumerate() {
        let (path, name) = (list.index(index), container.text("name"));
        container::check(container, scope, &path, errors);
        if !name.is_empty() && seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        seen.push(name);
        check_host_ports(std::slice::from_ref(container), list, errors);
        if container.text("restartPolicy") == "Always" {
            probe::check_lifecycle(container, scope.grace, &path, errors);
            probe::check_probes(container, scope.grace, &path, errors);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.has(field) {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.forbidden(&path.child(field), detail);
            }
        }
    }
}

fn check_ephemeral(spec: &Value, scope: &Scope<'_>, list: &Path, errors: &mut Errors) {
    let lists = ["containers", "initContainers"];
    let others: Vec<&str> = lists.iter().flat_map(|list| spec.items(list)).map(|c| c.text("name")).collect();
    let mut seen = others.clone();
    let refuse = "cannot be set for an Ephemeral Container";
    for (index, container) in spec.items("ephemeralContainers").iter().enumerate() {
        let (path, name) = (list.index(index), container.text("name"));
        container::check(container, scope, &path, errors);
        container::check_image(container, &path, errors);
        if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        seen.push(name);
        let target = container.text("targetContainerName");
        if !target.is_empty() && !others.contains(&target) {
            errors.not_found(&path.child("targetContainerName"), target);
        }
        for field in NOT_EPHEMERAL.iter().filter(|field| container.field(field).is_some_and(is_set)) {
            errors.forbidden(&path.child(field), refuse);
        }
        for (index, mount) in container.items("volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"].iter().filter(|f| !mount.text(f).is_empty()) {
                errors.forbidden(&path.child("volumeMounts").index(index).child(field), refuse);
            }
        }
    }
}

fn is_set(value: &Value) -> bool {
    !value.is_null()
        && value.as_object().is_none_or(|object| !object.is_empty())
        && value.as_array().is_none_or(|items| !items.is_empty())
}

/// Ports of the host, each of which one container can have.
fn check_host_ports(containers: &[Value], path: &Path, errors: &mut Errors) {
    let mut taken: Vec<String> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        for (number, port) in container.items("ports").iter().enumerate() {
            let Some(host) = port.int("hostPort").filter(|port| *port != 0) else { continue };
            let key = format!("{}/{}/{host}", port.text("protocol"), port.text("hostIP"));
            if taken.contains(&key) {
                let path = path.index(index).child("ports").index(number).child("hostPort");
                errors.duplicate(&path, &key);
            }
            taken.push(key);
        }
    }
}

/// In the network of the host, a container's ports are the host's. A template may leave that to its Pods.
pub(super) fn check_host_network(spec: &Value, of_pod: bool, path: &Path, errors: &mut Errors) {
    if !spec.flag("hostNetwork") {
        return;
    }
    for (index, container) in spec.items("containers").iter().enumerate() {
        for (number, port) in container.items("ports").iter().enumerate() {
            let host = port.int("hostPort").unwrap_or(0);
            if (of_pod || host != 0) && host != port.int("containerPort").unwrap_or(0) {
                let path =
                    path.child("containers").index(index).child("ports").index(number).child("hostPort");
                errors.invalid(&path, host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}
