//! Rules of the status of ResourceClaims: what was given, to whom, and how it does.

use wherry_schema::Value;

use super::claim::check_request_ref;
use super::{MAX_ITEMS, check_configuration, check_pool, check_raw, check_toleration, each, itself, unique};
use crate::object::{self, Fields};
use crate::validation::checks::IMMUTABLE;
use crate::validation::drivers::check_driver_name;
use crate::validation::{Errors, Path, Shown, conditions};

const MAX_CONSUMERS: usize = 256;
const MAX_CONDITIONS: usize = 8;
const MAX_ADDRESSES: usize = 16;
const MAX_INTERFACE: usize = 256;
const MAX_HARDWARE: usize = 128;

/// The rules an update of the status keeps.
pub(crate) fn check(object: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    let Some(status) = object.field("status") else { return };
    each(status, ("reservedFor", MAX_CONSUMERS), &path, errors, |consumer, path, errors| {
        for field in ["resource", "name", "uid"] {
            errors.some_text(consumer.text(field), &path.child(field));
        }
    });
    unique(status, ("reservedFor", MAX_CONSUMERS), &path, errors, |consumer| consumer.text("uid"));
    for (index, device) in status.items("devices").iter().enumerate() {
        check_device(device, status, &path.child("devices").index(index), errors);
    }
    check_reserved(object, old, &path.child("reservedFor"), errors);
    let at = path.child("allocation");
    match (status.field("allocation"), old.field("status.allocation")) {
        (Some(new), Some(before)) if new != before => errors.invalid(&at, new, IMMUTABLE),
        (Some(new), None) => check_allocation(new, object.field("spec.devices"), &at, errors),
        _ => {}
    }
}

fn check_reserved(object: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let reserved = object.items("status.reservedFor");
    if reserved.is_empty() {
        return;
    }
    let known = old.items("status.reservedFor");
    if !object.has("status.allocation") {
        errors.forbidden(path, "may not be specified when `allocated` is not set");
    } else if object::terminating(object) && reserved.iter().any(|consumer| !known.contains(consumer)) {
        let detail =
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.forbidden(path, detail);
    }
}

fn check_allocation(allocation: &Value, claim: Option<&Value>, path: &Path, errors: &mut Errors) {
    let Some(devices) = allocation.field("devices") else { return };
    let path = path.child("devices");
    each(devices, ("results", MAX_ITEMS), &path, errors, |result, path, errors| {
        check_request_ref(result.text("request"), claim, &path.child("request"), errors);
        check_driver_name(result.text("driver"), &path.child("driver"), errors);
        check_pool(result.text("pool"), &path.child("pool"), errors);
        errors.label(result.text("device"), &path.child("device"));
        for (index, toleration) in result.items("tolerations").iter().enumerate() {
            check_toleration(toleration, &path.child("tolerations").index(index), errors);
        }
    });
    each(devices, ("config", 2 * MAX_ITEMS), &path, errors, |config, path, errors| {
        match config.text("source") {
            "" => errors.required(&path.child("source"), ""),
            source => errors.one_of(source, &path.child("source"), &["FromClaim", "FromClass"]),
        }
        each(config, ("requests", MAX_ITEMS), path, errors, |name, path, errors| {
            check_request_ref(itself(name), claim, path, errors);
        });
        unique(config, ("requests", MAX_ITEMS), path, errors, itself);
        check_configuration(config, path, errors);
    });
}

fn check_device(device: &Value, status: &Value, path: &Path, errors: &mut Errors) {
    let id = |d: &Value| ["driver", "pool", "device", "shareID"].map(|field| d.text(field).to_owned());
    check_driver_name(device.text("driver"), &path.child("driver"), errors);
    check_pool(device.text("pool"), &path.child("pool"), errors);
    errors.label(device.text("device"), &path.child("device"));
    let given = status.items("allocation.devices.results");
    if !given.iter().any(|result| id(result) == id(device)) {
        let [driver, pool, name, share] = id(device);
        let shown = format!("{driver}/{pool}/{name}");
        let shown = if share.is_empty() { shown } else { format!("{shown}/{share}") };
        errors.invalid(path, Shown::from(&shown), "must be an allocated device in the claim");
    }
    let list = device.items("conditions");
    if list.len() > MAX_CONDITIONS {
        errors.too_many(&path.child("conditions"), list.len(), MAX_CONDITIONS);
    }
    conditions::check(list, &path.child("conditions"), errors);
    if let Some(data) = device.field("data") {
        check_raw(Some(data), &path.child("data"), errors);
    }
    if let Some(network) = device.field("networkData") {
        check_network(network, &path.child("networkData"), errors);
    }
}

fn check_network(network: &Value, path: &Path, errors: &mut Errors) {
    for (field, most) in [("interfaceName", MAX_INTERFACE), ("hardwareAddress", MAX_HARDWARE)] {
        if network.text(field).len() > most {
            errors.too_long(&path.child(field), most);
        }
    }
    each(network, ("ips", MAX_ADDRESSES), path, errors, |address, path, errors| {
        let text = itself(address);
        if text.parse::<ipnet::IpNet>().is_err() {
            let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
            errors.invalid(path, text, detail);
        }
    });
    unique(network, ("ips", MAX_ADDRESSES), path, errors, itself);
}
