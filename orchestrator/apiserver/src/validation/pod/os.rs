//! The operating system a Pod says it is for, and the settings that one does not have.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::{Errors, Path};

/// Settings of a Pod that Windows does not have.
const POD: &[&str] = &[
    "securityContext.appArmorProfile",
    "securityContext.seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "securityContext.seccompProfile",
    "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy",
    "securityContext.sysctls",
    "shareProcessNamespace",
    "securityContext.runAsUser",
    "securityContext.runAsGroup",
    "securityContext.supplementalGroups",
    "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
];
/// Settings of a container that Windows does not have.
const CONTAINER: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// The rules of `os`.
pub(super) fn check(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(os) = spec.field("os") else { return };
    match os.text("name") {
        "" => errors.required(&path.child("os.name"), ""),
        "linux" => check_linux(spec, path, errors),
        "windows" => check_windows(spec, path, errors),
        other => errors.unsupported(&path.child("os"), other, &["linux", "windows"]),
    }
}

fn each_container(spec: &Value, path: &Path, mut check: impl FnMut(&Value, &Path)) {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for (index, container) in spec.items(list).iter().enumerate() {
            if let Some(context) = container.field("securityContext") {
                check(context, &path.child(list).index(index).child("securityContext"));
            }
        }
    }
}

fn check_linux(spec: &Value, path: &Path, errors: &mut Errors) {
    let detail = "windows options cannot be set for a linux pod";
    if spec.has("securityContext.windowsOptions") {
        errors.forbidden(&path.child("securityContext.windowsOptions"), detail);
    }
    each_container(spec, path, |context, path| {
        if context.has("windowsOptions") {
            errors.forbidden(&path.child("windowsOptions"), detail);
        }
    });
}

fn check_windows(spec: &Value, path: &Path, errors: &mut Errors) {
    let detail = "cannot be set for a windows pod";
    for field in POD.iter().filter(|field| spec.has(field)) {
        if matches!(*field, "hostPID" | "hostIPC") && !spec.flag(field) {
            continue;
        }
        errors.forbidden(&path.child(field), detail);
    }
    each_container(spec, path, |context, path| {
        for field in CONTAINER.iter().filter(|field| context.has(field)) {
            errors.forbidden(&path.child(field), detail);
        }
    });
}
