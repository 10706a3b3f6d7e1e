//! Security contexts.

use wherry_schema::Value;

use super::mounts::check_local_path;
use crate::object::Fields;
use crate::validation::values::{choice, in_range};
use crate::validation::{Errors, Path, internal};

const IDS: (i64, i64) = (0, i32::MAX as i64);

fn check_id(object: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(id) = object.int(field) {
        in_range(id, IDS, &path.child(field), errors);
    }
}

/// Whose users a Pod's are: with its own it can share nothing else with the host.
pub(super) fn check_host_users(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec.field("hostUsers").and_then(Value::as_bool) != Some(false) {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.flag(field) {
            errors.forbidden(&path.child(shown), "when `hostUsers` is false");
        }
    }
}

/// The rules of a Pod's security context.
pub(super) fn check_pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let (path, context) =
        (path.child("securityContext"), spec.field("securityContext").unwrap_or(&Value::Null));
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        check_id(context, field, &path, errors);
    }
    for (index, group) in context.items("supplementalGroups").iter().enumerate() {
        let path = path.child("supplementalGroups").index(index);
        in_range(group.as_i64().unwrap_or(0), IDS, &path, errors);
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, detail);
    }
    check_sysctls(spec, context.items("sysctls"), &path.child("sysctls"), errors);
    choice(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &path, errors);
    check_seccomp(context, &path, errors);
    check_windows(context, &path, errors);
    check_app_armor(context, &path, errors);
    choice(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &path, errors);
    choice(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], &path, errors);
}

fn is_sysctl(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
            && !part.starts_with(['-', '_'])
            && !part.ends_with(['-', '_'])
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

fn check_sysctls(spec: &Value, sysctls: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, sysctl) in sysctls.iter().enumerate() {
        let (name, path) = (sysctl.text("name"), path.index(index).child("name"));
        if name.is_empty() {
            errors.required(&path, "");
        } else if !is_sysctl(name) {
            let detail = "must have at most 253 characters and match regex \
                          ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.invalid(&path, name, detail);
        } else if seen.contains(&name) {
            errors.duplicate(&path, name);
        }
        seen.push(name);
        let dotted = name.replace('/', ".");
        let of_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| dotted.starts_with(p));
        if spec.flag("hostNetwork") && dotted.starts_with("net.") {
            errors.invalid(&path, name, "may not be specified when 'hostNetwork' is true");
        }
        if spec.flag("hostIPC") && (of_ipc || dotted == "kernel.sem") {
            errors.invalid(&path, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn check_seccomp(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = context.field("seccompProfile") else { return };
    let path = path.child("seccompProfile");
    let local = profile.field("localhostProfile").and_then(Value::as_str);
    let kind = profile.text("type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "type is required when seccompProfile is set");
    } else {
        choice(profile, "type", &["Localhost", "RuntimeDefault", "Unconfined"], &path, errors);
    }
    let path = path.child("localhostProfile");
    match local {
        None if kind == "Localhost" => errors.required(&path, "must be set when seccomp type is Localhost"),
        Some(local) if kind == "Localhost" => check_local_path(local, &path, errors),
        Some(_) => {
            let shown = internal::show("Profile", Some(profile));
            errors.invalid(&path, shown, "can only be set when seccomp type is Localhost");
        }
        None => {}
    }
}

fn check_app_armor(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = context.field("appArmorProfile") else { return };
    let path = path.child("appArmorProfile");
    let (local, at) =
        (profile.field("localhostProfile").and_then(Value::as_str), path.child("localhostProfile"));
    match (profile.text("type"), local) {
        ("Localhost", Some(local)) if local != local.trim() => {
            errors.invalid(&at, local, "must not be padded with whitespace");
        }
        ("Localhost", None | Some("")) => {
            errors.required(&at, "must be set when AppArmor type is Localhost");
        }
        ("Localhost", Some(local)) if local.len() > 4095 => errors.too_long(&at, 4095),
        ("Localhost", _) | ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            errors.invalid(&at, local, "can only be set when AppArmor type is Localhost");
        }
        ("", _) => errors.required(&path.child("type"), "type is required when appArmorProfile is set"),
        (other, _) => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.unsupported(&path.child("type"), other, &supported);
        }
    }
}

fn check_windows(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(options) = context.field("windowsOptions") else { return };
    let path = path.child("windowsOptions");
    if let Some(name) = options.field("gmsaCredentialSpecName").and_then(Value::as_str) {
        let problems = crate::validation::names::subdomain(name);
        errors.problems(&path.child("gmsaCredentialSpecName"), name, problems);
    }
    if let Some(spec) = options.field("gmsaCredentialSpec").and_then(Value::as_str) {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.invalid(&path, spec, "gmsaCredentialSpec cannot be an empty string");
        } else if spec.len() > 64 * 1024 {
            let detail = "gmsaCredentialSpec size must be under 64 KiB";
            errors.invalid(&path, spec, detail);
        }
    }
    if let Some(user) = options.field("runAsUserName").and_then(Value::as_str) {
        let path = path.child("runAsUserName");
        if user.is_empty() {
            errors.invalid(&path, user, "runAsUserName cannot be an empty string");
        } else if user.matches('\\').count() > 1 {
            errors.invalid(&path, user, "runAsUserName cannot contain more than one backslash");
        }
    }
}

/// The rules of a container's security context.
pub(super) fn check_container(context: &Value, host_users: bool, path: &Path, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup"] {
        check_id(context, field, path, errors);
    }
    choice(context, "procMount", &["Default", "Unmasked"], path, errors);
    if host_users && context.text("procMount") == "Unmasked" {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        errors.invalid(&path.child("procMount"), "Unmasked", detail);
    }
    check_seccomp(context, path, errors);
    if context.field("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false) {
        let shown = || internal::show("SecurityContext", Some(context));
        if context.flag("privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(path, shown(), detail);
        }
        for _ in context.items("capabilities.add").iter().filter(|c| c.as_str() == Some("CAP_SYS_ADMIN")) {
            let detail =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(path, shown(), detail);
        }
    }
    check_windows(context, path, errors);
    check_app_armor(context, path, errors);
}
