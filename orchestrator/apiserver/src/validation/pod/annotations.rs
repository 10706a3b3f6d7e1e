//! Annotations of Pods that mean something to Kubernetes.

use wherry_schema::{Object, Value};

use super::mounts::check_local_path;
use crate::object::Fields;
use crate::validation::{Errors, Path};

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The annotation that once held the AppArmor profile of a container.
pub(crate) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
/// The annotation that once held the seccomp profile of a Pod.
pub(crate) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// The annotation that once held that of a container.
pub(crate) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// The rules of a Pod's annotations.
pub(crate) fn check(annotations: Option<&Object>, spec: &Value, path: &Path, errors: &mut Errors) {
    let get = |key: &str| annotations.and_then(|a| a.get(key)).and_then(Value::as_str);
    if let Some(value) = get(MIRROR).filter(|_| spec.text("nodeName").is_empty()) {
        errors.invalid(&path.key(MIRROR), value, "must set spec.nodeName if mirror pod annotation is set");
    }
    if let Some(cost) = get(DELETION_COST).filter(|cost| !is_cost(cost)) {
        errors.invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer");
    }
    let names: Vec<&str> = ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| spec.items(list))
        .map(|container| container.text("name"))
        .collect();
    check_seccomp(annotations, path, errors);
    for (key, profile) in annotations.into_iter().flat_map(Object::iter) {
        let Some(container) = key.strip_prefix(APP_ARMOR) else { continue };
        let (path, profile) = (path.key(key), profile.as_str().unwrap_or_default());
        if !names.contains(&container) {
            errors.invalid(&path, container, "container not found");
        }
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
            errors.invalid(&path, profile, &format!("invalid AppArmor profile name: {profile:?}"));
        }
    }
}

/// A whole number without ornament.
fn is_cost(text: &str) -> bool {
    let plain = !text.starts_with('+') && (text == "0" || !text.trim_start_matches('-').starts_with('0'));
    plain && text.parse::<i32>().is_ok()
}

/// The rules of annotations that once held seccomp profiles. Upstream takes them for fields.
fn check_seccomp(annotations: Option<&Object>, path: &Path, errors: &mut Errors) {
    for (key, profile) in annotations.into_iter().flat_map(Object::iter) {
        if key.as_str() != SECCOMP_POD && !key.starts_with(SECCOMP_CONTAINER) {
            continue;
        }
        let (path, profile) = (path.child(key), profile.as_str().unwrap_or_default());
        match profile.strip_prefix("localhost/") {
            Some(local) => check_local_path(local, &path, errors),
            None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
            None => errors.invalid(&path, profile, "must be a valid seccomp profile"),
        }
    }
}

/// An annotation and the field that took its place say the same.
pub(crate) fn check_fields(annotations: Option<&Object>, spec: &Value, path: &Path, errors: &mut Errors) {
    let get = |key: &str| annotations.and_then(|a| a.get(key)).and_then(Value::as_str);
    let seccomp = "securityContext.seccompProfile";
    if let (Some(text), Some(profile)) = (get(SECCOMP_POD), spec.field(seccomp)) {
        check_same("seccomp", text, profile, &path.child(seccomp), errors);
    }
    each(spec, path, |container, path| {
        let key = format!("{SECCOMP_CONTAINER}{}", container.text("name"));
        if let (Some(text), Some(profile)) = (get(&key), container.field(seccomp)) {
            check_same("seccomp", text, profile, &path.child(seccomp), errors);
        }
    });
    if spec.text("os.name") == "windows" {
        return;
    }
    let armor = "securityContext.appArmorProfile";
    each(spec, path, |container, path| {
        let key = format!("{APP_ARMOR}{}", container.text("name"));
        let profile = container.field(armor).or_else(|| spec.field(armor));
        if let (Some(text), Some(profile)) = (get(&key), profile) {
            check_same("apparmor", text, profile, &path.child(armor), errors);
        }
    });
}

fn each(spec: &Value, path: &Path, mut look: impl FnMut(&Value, &Path)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in spec.items(list).iter().enumerate() {
            look(container, &path.child(list).index(index));
        }
    }
}

fn check_same(what: &str, text: &str, profile: &Value, path: &Path, errors: &mut Errors) {
    let (same, local) = match profile.text("type") {
        "Unconfined" => (text == "unconfined", None),
        "RuntimeDefault" => {
            (text == "runtime/default" || (what == "seccomp" && text == "docker/default"), None)
        }
        "Localhost" => (text.starts_with("localhost/"), text.strip_prefix("localhost/")),
        _ => return,
    };
    if !same {
        let detail = format!("{what} type in annotation and field must match");
        errors.forbidden(&path.child("type"), &detail);
    } else if local.is_some() && local != profile.field("localhostProfile").and_then(Value::as_str) {
        let detail = format!("{what} profile in annotation and field must match");
        errors.forbidden(&path.child("localhostProfile"), &detail);
    }
}

/// What an update may not change in the annotations.
pub(crate) fn check_change(new: Option<&Object>, old: Option<&Object>, path: &Path, errors: &mut Errors) {
    let what = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        _ if key.starts_with(APP_ARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, value) in old.into_iter().flat_map(Object::iter) {
        if let Some(what) = what(key).filter(|_| new.and_then(|new| new.get(key)) != Some(value)) {
            errors.forbidden(&path.key(key), &format!("may not remove or update {what}"));
        }
    }
    for key in new.into_iter().flat_map(Object::keys).filter(|key| !old.is_some_and(|old| old.contains(key)))
    {
        if let Some(what) = what(key) {
            errors.forbidden(&path.key(key), &format!("may not add {what}"));
        }
    }
}
