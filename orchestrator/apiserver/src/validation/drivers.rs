//! Rules of storage classes, drivers, capacities and what nodes say about drivers.

use wherry_api::names;
use wherry_api::quantity::Quantity;
use wherry_schema::{Object, Value};

use super::internal;
use super::template::check_label_selector;
use super::{Errors, Path};
use crate::object::{self, Fields};

const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETERS_SIZE: usize = 256 * 1024;
const MAX_DRIVER_NAME: usize = 63;
const MAX_NODE_ID: usize = 192;

/// Labels that were renamed, with what became of them.
const RENAMED_LABELS: &[(&str, &str, &str)] = &[
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
];

/// The name of a storage driver.
pub(crate) fn check_driver_name(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    if name.len() > MAX_DRIVER_NAME {
        errors.too_long(path, MAX_DRIVER_NAME);
    }
    errors.check(names::dns1123_subdomain(&name.to_lowercase()), name, path);
}

/// The rules of StorageClasses.
pub(crate) fn check_class(object: &Value, errors: &mut Errors) {
    let (provisioner, path) = (object.text("provisioner"), Path::new("provisioner"));
    if provisioner.is_empty() {
        errors.required(&path, "");
    } else {
        errors.qualified(&provisioner.to_lowercase(), &path);
    }
    check_parameters(object.map("parameters"), errors);
    let policy = object.text("reclaimPolicy");
    if !policy.is_empty() {
        errors.one_of(policy, &Path::new("reclaimPolicy"), &["Delete", "Retain"]);
    }
    let mode = Path::new("volumeBindingMode");
    match object.field("volumeBindingMode").and_then(Value::as_str) {
        None => errors.required(&mode, ""),
        Some(text) => errors.one_of(text, &mode, &["Immediate", "WaitForFirstConsumer"]),
    }
    let topologies = object.items("allowedTopologies");
    for (index, term) in topologies.iter().enumerate() {
        let path = Path::new("allowedTopologies").index(index);
        check_topology(term, &path, errors);
        if topologies[..index].contains(term) {
            errors.duplicate(&path.child("matchLabelExpressions"), "");
        }
    }
}

fn check_parameters(parameters: Option<&Object>, errors: &mut Errors) {
    let path = Path::new("parameters");
    let Some(parameters) = parameters else { return };
    if parameters.len() > MAX_PARAMETERS {
        errors.too_long(&path, MAX_PARAMETERS);
        return;
    }
    let mut size = 0;
    for (key, value) in parameters.iter() {
        if key.is_empty() {
            errors.invalid(&path, "", "field can not be empty.");
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_PARAMETERS_SIZE {
        errors.too_long(&path, MAX_PARAMETERS_SIZE);
    }
}

fn check_topology(term: &Value, path: &Path, errors: &mut Errors) {
    let mut keys: Vec<&str> = Vec::new();
    for (index, expression) in term.items("matchLabelExpressions").iter().enumerate() {
        let path = path.child("matchLabelExpressions").index(index);
        let (key, values) = (expression.text("key"), expression.items("values"));
        if values.is_empty() {
            errors.required(&path.child("values"), "");
        }
        for (at, value) in values.iter().enumerate() {
            if values[..at].contains(value) {
                errors.duplicate(&path.child("values").index(at), value);
            }
        }
        errors.qualified(key, &path.child("key"));
        if keys.contains(&key) {
            errors.duplicate(&path.child("key"), key);
        }
        keys.push(key);
    }
}

/// What became of a label that was renamed.
pub(crate) fn renamed(label: &str) -> Option<String> {
    let (_, version, new) = RENAMED_LABELS.iter().find(|(old, ..)| *old == label)?;
    Some(format!("deprecated since {version}; use {new:?} instead"))
}

/// Labels of nodes that a class should not name any more.
pub(crate) fn class_warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (term_at, term) in object.items("allowedTopologies").iter().enumerate() {
        for (at, expression) in term.items("matchLabelExpressions").iter().enumerate() {
            if let Some(text) = renamed(expression.text("key")) {
                let path = Path::new("allowedTopologies").index(term_at);
                let path = path.child("matchLabelExpressions").index(at).child("key");
                warnings.push(format!("{path}: {text}"));
            }
        }
    }
    warnings
}

/// Labels of nodes that a capacity should not name any more.
pub(crate) fn capacity_warnings(object: &Value) -> Vec<String> {
    let path = Path::new("nodeTopology");
    let mut warnings = Vec::new();
    for (index, expression) in object.items("nodeTopology.matchExpressions").iter().enumerate() {
        if let Some(text) = renamed(expression.text("key")) {
            let path = path.child("matchExpressions").index(index).child("key");
            warnings.push(format!("{path}: {text}"));
        }
    }
    for label in object.map("nodeTopology.matchLabels").into_iter().flat_map(Object::keys) {
        if let Some(text) = renamed(label) {
            warnings.push(format!("{}: {text}", path.child("matchLabels").child(label)));
        }
    }
    warnings
}

/// The rules of CSIDrivers.
pub(crate) fn check_driver(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    check_driver_name(object::name(object), &Path::new("name"), errors);
    if let Some(policy) = object.field("spec.fsGroupPolicy").and_then(Value::as_str) {
        errors.one_of(policy, &spec.child("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
    }
    let requests = object.items("spec.tokenRequests");
    for (index, request) in requests.iter().enumerate() {
        let (path, audience) = (spec.child("tokenRequests").index(index), request.text("audience"));
        if requests[..index].iter().any(|other| other.text("audience") == audience) {
            errors.duplicate(&path.child("audience"), audience);
            continue;
        }
        let at = path.child("expirationSeconds");
        match request.int("expirationSeconds") {
            Some(seconds) if seconds < 600 => {
                errors.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
            }
            Some(seconds) if seconds > 1 << 32 => {
                errors.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
    for mode in object.items("spec.volumeLifecycleModes") {
        let mode = mode.as_str().unwrap_or_default();
        errors.one_of(mode, &spec.child("volumeLifecycleModes"), &["Ephemeral", "Persistent"]);
    }
    if let Some(seconds) = object.int("spec.nodeAllocatableUpdatePeriodSeconds").filter(|s| *s < 10) {
        let path = spec.child("nodeAllocatableUpdatePeriodSeconds");
        errors.invalid(&path, seconds, "must be greater than or equal to 10 seconds");
    }
    if let (Some(secret), true) = (object.field("spec.serviceAccountTokenInSecrets"), requests.is_empty()) {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.invalid(&spec.child("serviceAccountTokenInSecrets"), secret, detail);
    }
}

/// What of a CSIDriver may not change.
pub(crate) fn check_driver_update(object: &Value, old: &Value, errors: &mut Errors) {
    if !object::same(object, old, "spec.attachRequired") {
        // Upstream reports this field under this name.
        let shown = object.flag("spec.attachRequired").to_string();
        errors.invalid(&Path::new("spec.attachedRequired"), super::Shown::raw(shown), "field is immutable");
    }
    errors.immutable(object, old, "spec.volumeLifecycleModes");
}

/// The rules of CSINodes.
pub(crate) fn check_node(object: &Value, errors: &mut Errors) {
    let drivers = object.items("spec.drivers");
    for (index, driver) in drivers.iter().enumerate() {
        let path = Path::new("spec.drivers").index(index);
        check_driver_name(driver.text("name"), &path.child("name"), errors);
        let node = driver.text("nodeID");
        errors.some_text(node, &path.child("nodeID"));
        if node.len() > MAX_NODE_ID {
            errors.invalid(&path.child("nodeID"), node, "must be 192 characters or less");
        }
        if let Some(count) = driver.int("allocatable.count").filter(|count| *count < 0) {
            let at = path.child("allocatable").child("count");
            errors.invalid(&at, count, "must be greater than or equal to 0");
        }
        if drivers[..index].iter().any(|other| other.text("name") == driver.text("name")) {
            errors.duplicate(&path.child("name"), driver.text("name"));
        }
        let keys = driver.items("topologyKeys");
        for (at, key) in keys.iter().enumerate() {
            let text = key.as_str().unwrap_or_default();
            if text.is_empty() {
                errors.required(&path, "");
            }
            if keys[..at].contains(key) {
                errors.duplicate(&path, text);
            }
            for problem in super::names::qualified(text) {
                errors.invalid(&path, driver.field("topologyKeys").unwrap_or(&Value::Null), &problem);
            }
        }
    }
}

/// A driver's entry may come and go, but only its allocatable count changes.
pub(crate) fn check_node_update(object: &Value, old: &Value, errors: &mut Errors) {
    let settled = |driver: &Value| {
        let mut driver = driver.clone();
        driver.take("allocatable");
        driver
    };
    for before in old.items("spec.drivers") {
        let now = object.items("spec.drivers").iter().filter(|d| d.text("name") == before.text("name"));
        for driver in now.filter(|driver| settled(driver) != settled(before)) {
            let shown = internal::show("CSINodeDriver", Some(driver));
            errors.invalid(&Path::new("CSINodeDriver"), shown, "field is immutable");
        }
    }
}

/// The rules of CSIStorageCapacities.
pub(crate) fn check_capacity(object: &Value, errors: &mut Errors) {
    if let Some(selector) = object.field("nodeTopology") {
        check_label_selector(selector, &Path::new("nodeTopology"), errors);
    }
    errors.subdomain(object.text("storageClassName"), &Path::new("storageClassName"));
    for field in ["capacity", "maximumVolumeSize"] {
        let text = object.text(field);
        if text.parse::<Quantity>().is_ok_and(|quantity| quantity.is_negative()) {
            errors.invalid(&Path::new(field), text, "must be greater than or equal to 0");
        }
    }
}

/// The rules of VolumeAttributesClasses.
pub(crate) fn check_attributes_class(object: &Value, errors: &mut Errors) {
    check_driver_name(object.text("driverName"), &Path::new("driverName"), errors);
    let parameters = object.map("parameters");
    if parameters.is_none_or(Object::is_empty) {
        errors.required(&Path::new("parameters"), "must contain at least one key/value pair");
    }
    check_parameters(parameters, errors);
}

/// What of a VolumeAttributesClass may not change.
pub(crate) fn check_attributes_class_update(object: &Value, old: &Value, errors: &mut Errors) {
    for field in ["driverName", "parameters"] {
        if !object::same(object, old, field) {
            errors.forbidden(&Path::new(field), &format!("updates to {field} are forbidden."));
        }
    }
}
