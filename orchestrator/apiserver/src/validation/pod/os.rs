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

/// On Windows, all containers of a Pod are processes of the host or none is.
pub(super) fn check_host_processes(spec: &Value, path: &Path, errors: &mut Errors) {
    const FIELD: &str = "securityContext.windowsOptions.hostProcess";
    let of_pod = spec.field(FIELD).and_then(Value::as_bool);
    let (mut all, mut on_host) = (0, 0);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in spec.items(list).iter().enumerate() {
            let own = container.field(FIELD).and_then(Value::as_bool);
            if let (Some(of_pod), Some(own)) = (of_pod, own)
                && of_pod != own
            {
                let detail =
                    format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
                errors.invalid(&path.child(list).index(index).child(FIELD), own, &detail);
            }
            all += 1;
            on_host += i32::from(own.or(of_pod) == Some(true));
        }
    }
    if on_host > 0 && on_host != all {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid(path, "", detail);
    }
    if on_host > 0 && !spec.flag("hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid(&path.child("hostNetwork"), false, detail);
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
