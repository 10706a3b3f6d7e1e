//! Defaults of storage classes and drivers, and of the devices that claims ask for.

use super::{child, default, items, text};
use crate::value::{Object, Str, Value};

pub(super) fn storage_class(class: &mut Object) {
    default(class, &"reclaimPolicy", text(&"Delete"));
    default(class, &"volumeBindingMode", text(&"Immediate"));
}

pub(super) fn csi_driver(driver: &mut Object) {
    let Some(spec) = child(driver, "spec") else { return };
    default(spec, &"attachRequired", true);
    default(spec, &"fsGroupPolicy", text(&"ReadWriteOnceWithFSType"));
    default(spec, &"podInfoOnMount", false);
    default(spec, &"requiresRepublish", false);
    default(spec, &"seLinuxMount", false);
    default(spec, &"storageCapacity", false);
    let modes = spec.get("volumeLifecycleModes").and_then(Value::as_array);
    if modes.is_none_or(Vec::is_empty) {
        spec.insert(Str::fixed(&"volumeLifecycleModes"), vec![text(&"Persistent")]);
    }
}

pub(super) fn claim(claim: &mut Object) {
    if let Some(spec) = child(claim, "spec") {
        claim_spec(spec);
    }
}

pub(super) fn claim_template(template: &mut Object) {
    if let Some(spec) = child(template, "spec").and_then(|spec| child(spec, "spec")) {
        claim_spec(spec);
    }
}

fn claim_spec(spec: &mut Object) {
    let Some(devices) = child(spec, "devices") else { return };
    for request in items(devices, "requests") {
        child(request, "exactly").into_iter().for_each(device_request);
        items(request, "firstAvailable").for_each(device_request);
    }
}

/// One device is wanted, unless the request says how many, or all.
fn device_request(request: &mut Object) {
    default(request, &"allocationMode", text(&"ExactCount"));
    if request.get("allocationMode").and_then(Value::as_str) == Some("ExactCount") {
        default(request, &"count", 1);
    }
    for toleration in items(request, "tolerations") {
        default(toleration, &"operator", text(&"Equal"));
    }
}
