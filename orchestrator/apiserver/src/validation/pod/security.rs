//! Security contexts.

use wherry_schema::Value;

use super::super::{Errors, Path};
use super::check_choice;
use crate::object::Fields;

fn check_id(object: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(id) = object.int(field).filter(|id| !(0..=2_147_483_647).contains(id)) {
        errors.invalid(&path.child(field), id, "must be between 0 and 2147483647, inclusive");
    }
}

/// The rules of a Pod's security context and host settings.
pub(super) fn check_pod(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec.field("hostUsers").and_then(Value::as_bool) == Some(false) {
        for field in ["hostNetwork", "hostPID", "hostIPC"].iter().filter(|f| spec.flag(f)) {
            errors.forbidden(&path.child(field), "when `hostUsers` is false");
        }
    }
    let Some(context) = spec.field("securityContext") else { return };
    let path = path.child("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        check_id(context, field, &path, errors);
    }
    for (index, group) in context.items("supplementalGroups").iter().enumerate() {
        if let Some(id) = group.as_i64().filter(|id| !(0..=2_147_483_647).contains(id)) {
            let path = path.child("supplementalGroups").index(index);
            errors.invalid(&path, id, "must be between 0 and 2147483647, inclusive");
        }
    }
    check_sysctls(context, &path, errors);
    check_choice(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &path, errors);
    check_choice(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &path, errors);
    check_seccomp(context, &path, errors);
}

fn check_sysctls(context: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, sysctl) in context.items("sysctls").iter().enumerate() {
        let (name, path) = (sysctl.text("name"), path.child("sysctls").index(index).child("name"));
        let part = |p: &str| {
            !p.is_empty()
                && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
                && !p.starts_with(['-', '_'])
                && !p.ends_with(['-', '_'])
        };
        if name.is_empty() {
            errors.required(&path, "");
        } else if name.len() > 253 || !name.split(['.', '/']).all(part) {
            let detail = "must have at most 253 characters and match regex \
                          ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.invalid(&path, name, detail);
        }
        if seen.contains(&name) {
            errors.duplicate(&path, name);
        }
        seen.push(name);
    }
}

fn check_seccomp(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = context.field("seccompProfile") else { return };
    let path = path.child("seccompProfile");
    let local = profile.text("localhostProfile");
    match profile.text("type") {
        "Localhost" if local.is_empty() => {
            errors.required(&path.child("localhostProfile"), "must be set when seccomp type is Localhost");
        }
        "Localhost" => {}
        "RuntimeDefault" | "Unconfined" => {
            if !local.is_empty() {
                let detail = "can only be set when seccomp type is Localhost";
                errors.invalid(&path.child("localhostProfile"), local, detail);
            }
        }
        "" => errors.required(&path.child("type"), "type is required when seccompProfile is set"),
        other => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.unsupported(&path.child("type"), other, &supported);
        }
    }
}

/// The rules of a container's security context.
pub(super) fn check_container(container: &Value, path: &Path, errors: &mut Errors) {
    let Some(context) = container.field("securityContext") else { return };
    let path = path.child("securityContext");
    for field in ["runAsUser", "runAsGroup"] {
        check_id(context, field, &path, errors);
    }
    check_choice(context, "procMount", &["Default", "Unmasked"], &path, errors);
    check_seccomp(context, &path, errors);
    if context.field("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false)
        && context.flag("privileged")
    {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.invalid(&path, context, detail);
    }
}
