//! Names of resources: which there are, and where each may be named.

use super::{Errors, Path, names};

/// What containers can ask for.
const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// Objects and ports that are counted, and so come whole.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// What else a quota limits.
const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

/// Whether it is memory in pages of one size.
pub(crate) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a quota limits such pages.
fn is_quota_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// Whether it is a resource of Kubernetes itself.
pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether it is a resource that somebody else brings.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified(&format!("requests.{name}")).is_empty()
}

/// Whether it comes in whole units only.
pub(crate) fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

fn is_standard(name: &str) -> bool {
    name == "storage" || QUOTA.contains(&name) || COUNTED.contains(&name) || is_quota_huge_page(name)
}

/// Whether a quota can limit it.
pub(crate) fn is_quota(name: &str) -> bool {
    QUOTA.contains(&name) || COUNTED.contains(&name) || is_quota_huge_page(name)
}

/// Refuses what is no name of a resource; says whether it is one.
pub(crate) fn check(name: &str, path: &Path, errors: &mut Errors) -> bool {
    let problems = names::qualified(name);
    let mut fits = problems.is_empty();
    errors.problems(path, name, problems);
    if fits && !name.contains('/') && !is_standard(name) {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
        fits = false;
    }
    fits
}

/// Refuses what a container cannot ask for.
pub(crate) fn check_container(name: &str, path: &Path, errors: &mut Errors) {
    check(name, path, errors);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_huge_page(name) {
            errors.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

/// Refuses what a Pod as a whole cannot ask for.
pub(crate) fn check_pod_level(name: &str, path: &Path, errors: &mut Errors) {
    if check(name, path, errors) && !matches!(name, "cpu" | "memory") && !is_huge_page(name) {
        errors.unsupported(path, name, &["cpu", "hugepages-", "memory"]);
    }
}

/// Refuses what a quota cannot limit.
pub(crate) fn check_quota(name: &str, path: &Path, errors: &mut Errors) {
    check(name, path, errors);
    if !name.contains('/') && !is_quota(name) {
        errors.invalid(path, name, "must be a standard resource for quota");
    }
}

/// Refuses what a range of limits cannot limit.
pub(crate) fn check_limit_range(kind: &str, name: &str, path: &Path, errors: &mut Errors) {
    match kind {
        "Pod" | "Container" => check_container(name, path, errors),
        _ => drop(check(name, path, errors)),
    }
}
