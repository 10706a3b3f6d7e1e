//! Defaults of volumes and claims, and of what limits a namespace.

use super::{child, container, default, items, text, volume};
use crate::value::{Object, Str};

pub(super) fn claim(claim: &mut Object) {
    default(claim.object_mut(Str::fixed(&"status")), &"phase", text(&"Pending"));
    if let Some(spec) = child(claim, "spec") {
        claim_spec(spec);
    }
    let capacity = child(claim, "status").and_then(|status| child(status, "capacity"));
    capacity.into_iter().for_each(container::round_resources);
}

pub(super) fn claim_spec(spec: &mut Object) {
    default(spec, &"volumeMode", text(&"Filesystem"));
    if let Some(resources) = child(spec, "resources") {
        container::round_lists(resources);
    }
}

pub(super) fn persistent_volume(object: &mut Object) {
    default(object.object_mut(Str::fixed(&"status")), &"phase", text(&"Pending"));
    let Some(spec) = child(object, "spec") else { return };
    default(spec, &"persistentVolumeReclaimPolicy", text(&"Retain"));
    default(spec, &"volumeMode", text(&"Filesystem"));
    child(spec, "capacity").into_iter().for_each(container::round_resources);
    volume::persistent_sources(spec);
}

pub(super) fn resource_quota(quota: &mut Object) {
    for (part, lists) in [("spec", &["hard"][..]), ("status", &["hard", "used"])] {
        let Some(part) = child(quota, part) else { continue };
        for list in lists {
            child(part, list).into_iter().for_each(container::round_resources);
        }
    }
}

pub(super) fn limit_range(range: &mut Object) {
    for item in child(range, "spec").into_iter().flat_map(|spec| items(spec, "limits")) {
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            child(item, list).into_iter().for_each(container::round_resources);
        }
        if item.get("type").and_then(crate::value::Value::as_str) == Some("Container") {
            container_limits(item);
        }
    }
}

/// A container's limit defaults to the most allowed, its request to that limit or else to the least allowed.
fn container_limits(item: &mut Object) {
    for (target, source) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let Some(source) = child(item, source).cloned() else { continue };
        if source.is_empty() {
            continue;
        }
        let target = item.object_mut(target);
        for (name, amount) in source {
            target.or_insert_with(name, || amount);
        }
    }
}
