//! Defaults of Secrets, Namespaces, Nodes, priority classes and requests for Pods' certificates.

use super::{child, container, default, text};
use crate::base64;
use crate::value::{Object, Str, Value};

/// `stringData` is a way to write `data`, and is never kept.
pub(super) fn secret(secret: &mut Object) {
    default(secret, &"type", text(&"Opaque"));
    let Some(Value::Object(plain)) = secret.remove("stringData") else { return };
    let data = secret.object_mut(Str::fixed(&"data"));
    for (name, value) in plain {
        data.insert(name, base64::encode(value.as_str().unwrap_or_default().as_bytes()));
    }
}

/// A namespace carries its name as a label, so that selectors can name it.
pub(super) fn namespace(namespace: &mut Object) {
    let name =
        child(namespace, "metadata").and_then(|metadata| metadata.get("name")?.as_str().map(str::to_owned));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let metadata = namespace.object_mut(Str::fixed(&"metadata"));
        metadata.object_mut(Str::fixed(&"labels")).insert("kubernetes.io/metadata.name", name);
    }
    if let Some(status) = child(namespace, "status") {
        default(status, &"phase", text(&"Active"));
    }
}

/// What a node has is what it can give, unless it says otherwise.
pub(super) fn node(node: &mut Object) {
    let Some(status) = child(node, "status") else { return };
    if let Some(capacity) = status.get("capacity").cloned() {
        status.or_insert_with(Str::fixed(&"allocatable"), || capacity);
    }
    for name in ["capacity", "allocatable"] {
        child(status, name).into_iter().for_each(container::round_resources);
    }
}

/// A certificate is good for a day at most, unless more or less is asked for.
pub(super) fn pod_certificate_request(request: &mut Object) {
    if let Some(spec) = child(request, "spec") {
        default(spec, &"maxExpirationSeconds", 86_400);
    }
}

pub(super) fn priority_class(class: &mut Object) {
    default(class, &"preemptionPolicy", text(&"PreemptLowerPriority"));
}
