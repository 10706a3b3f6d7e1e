//! Defaults of network policies, Ingress classes and bindings of roles.

use super::{child, default, items, text};
use crate::value::{Object, Str, Value};

const RBAC: &str = "rbac.authorization.k8s.io";

/// A policy that names no direction is about what comes in, and about what goes out if it has rules for that.
pub(super) fn network_policy(policy: &mut Object) {
    let Some(spec) = child(policy, "spec") else { return };
    let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    let mut types = vec![text(&"Ingress")];
    if egress {
        types.push(text(&"Egress"));
    }
    let unset = spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if unset {
        spec.insert(Str::fixed(&"policyTypes"), types);
    }
    for name in ["ingress", "egress"] {
        for rule in items(spec, name) {
            for port in items(rule, "ports") {
                default(port, &"protocol", text(&"TCP"));
            }
        }
    }
}

pub(super) fn ingress_class(class: &mut Object) {
    let parameters = child(class, "spec").and_then(|spec| child(spec, "parameters"));
    if let Some(parameters) = parameters {
        default(parameters, &"scope", text(&"Cluster"));
    }
}

/// Roles, users and groups are all of one API group.
pub(super) fn role_binding(binding: &mut Object) {
    if let Some(role) = child(binding, "roleRef") {
        group(role);
    }
    for subject in items(binding, "subjects") {
        if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
            group(subject);
        }
    }
}

fn group(reference: &mut Object) {
    if reference.get("apiGroup").and_then(Value::as_str).is_none_or(str::is_empty) {
        reference.insert(Str::fixed(&"apiGroup"), text(&RBAC));
    }
}
