//! The rules of a Pod's spec, shared by Pods and pod templates, in the order upstream checks them.

mod affinity;
mod annotations;
mod container;
mod containers;
mod dns;
mod environment;
mod mounts;
mod os;
mod probe;
mod projected;
mod resources;
mod security;
mod source;
mod spread;
mod toleration;
mod update;
mod volume;

#[cfg(test)]
mod tests;

use wherry_schema::Value;

use super::names::{self, Problems};
use super::values::{in_range, required_choice};
use super::{Errors, Path, internal, meta, net};
use crate::object::Fields;

pub(crate) use affinity::check_node_selector;
pub(crate) use annotations::{
    APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD, check as check_annotations,
    check_change as check_annotations_change, check_fields as check_annotated_fields,
};
pub(crate) use containers::check_images;
pub(crate) use resources::{check_amount, check_overhead};
pub(crate) use source::{Disks, check_disk, check_local};
pub(crate) use toleration::check as check_tolerations;
pub(crate) use update::{check_ephemeral_update, check_resize, check_update};

/// The values of `restartPolicy`.
const RESTART: &[&str] = &["Always", "OnFailure", "Never"];

/// The rules of a Pod's spec. `metadata` is that of the Pod or template.
pub(crate) fn check_spec(spec: &Value, metadata: Option<&Value>, path: &Path, errors: &mut Errors) {
    let volumes = volume::check_volumes(spec, metadata, path, errors);
    check_claims(spec.items("resourceClaims"), &path.child("resourceClaims"), errors);
    containers::check(spec, &volumes, path, errors);
    resources::check_pod(spec, &path.child("resources"), errors);
    containers::check_host_network(spec, metadata.is_some(), path, errors);
    required_choice(spec, "restartPolicy", RESTART, path, errors);
    dns::check_policy(spec, path, errors);
    meta::check_labels(spec.map("nodeSelector"), &path.child("nodeSelector"), errors);
    security::check_pod(spec, path, errors);
    affinity::check(spec, &path.child("affinity"), errors);
    dns::check_config(spec, &path.child("dnsConfig"), errors);
    check_gates(spec, path, errors);
    spread::check(spec, &path.child("topologySpreadConstraints"), errors);
    os::check_host_processes(spec, path, errors);
    security::check_host_users(spec, path, errors);
    check_names(spec, path, errors);
    if let Some(overhead) = spec.map("overhead") {
        resources::check_overhead(overhead, &path.child("overhead"), errors);
    }
    os::check(spec, path, errors);
}

fn name(spec: &Value, field: &str, rule: fn(&str) -> Problems, path: &Path, errors: &mut Errors) {
    if let Some(text) = spec.field(field).and_then(Value::as_str).filter(|text| !text.is_empty()) {
        errors.problems(&path.child(field), text, rule(text));
    }
}

fn check_names(spec: &Value, path: &Path, errors: &mut Errors) {
    name(spec, "serviceAccountName", names::subdomain, path, errors);
    name(spec, "nodeName", names::subdomain, path, errors);
    if let Some(seconds) = spec.int("activeDeadlineSeconds") {
        in_range(seconds, (1, i64::from(i32::MAX)), &path.child("activeDeadlineSeconds"), errors);
    }
    name(spec, "hostname", names::label, path, errors);
    name(spec, "subdomain", names::label, path, errors);
    toleration::check(spec.items("tolerations"), &path.child("tolerations"), errors);
    check_hosts(spec, path, errors);
    name(spec, "priorityClassName", names::subdomain, path, errors);
    if spec.has("runtimeClassName") {
        let text = spec.text("runtimeClassName");
        errors.problems(&path.child("runtimeClassName"), text, names::subdomain(text));
    }
    if spec.has("preemptionPolicy") {
        required_choice(spec, "preemptionPolicy", &["PreemptLowerPriority", "Never"], path, errors);
    }
    if let Some(host) = spec.field("hostnameOverride").and_then(Value::as_str) {
        check_hostname_override(spec, host, path, errors);
    }
}

fn check_hostname_override(spec: &Value, host: &str, path: &Path, errors: &mut Errors) {
    let path = path.child("hostnameOverride");
    if host.len() > 64 {
        errors.too_long(&path, 64);
    }
    errors.problems(&path, host, names::subdomain(host));
    if spec.flag("hostNetwork") {
        errors.forbidden(&path, "can not be set when `hostNetwork` is true");
    }
    if spec.flag("setHostnameAsFQDN") {
        errors.forbidden(&path, "can not be set when `setHostnameAsFQDN` is true");
    }
}

fn check_hosts(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        net::check_ip(alias.text("ip"), None, &path.child("ip"), errors);
        for (index, host) in alias.items("hostnames").iter().enumerate() {
            let host = host.as_str().unwrap_or_default();
            errors.problems(&path.child("hostnames").index(index), host, names::subdomain(host));
        }
    }
}

fn check_gates(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, gate) in spec.items("readinessGates").iter().enumerate() {
        let kind = gate.text("conditionType");
        let path = path.child("readinessGates").index(index).child("conditionType");
        errors.problems(&path, kind, names::qualified(kind));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, gate) in spec.items("schedulingGates").iter().enumerate() {
        let (name, path) = (gate.text("name"), path.child("schedulingGates").index(index));
        errors.problems(&path, name, names::qualified(name));
        if seen.contains(&name) {
            errors.duplicate(&path, name);
        }
        seen.push(name);
    }
}

fn check_claims(claims: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, claim) in claims.iter().enumerate() {
        let (name, path) = (claim.text("name"), path.index(index));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        } else {
            errors.problems(&path.child("name"), name, names::label(name));
            seen.push(name);
        }
        let kinds = ["resourceClaimName", "resourceClaimTemplateName"];
        let shown = || internal::show("PodResourceClaim", Some(claim));
        match kinds.iter().filter(|kind| claim.has(kind)).count() {
            0 => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&path, shown(), detail);
            }
            1 => {}
            _ => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&path, shown(), detail);
            }
        }
        for kind in kinds.iter().filter(|kind| claim.has(kind)) {
            errors.problems(&path.child(kind), claim.text(kind), names::subdomain(claim.text(kind)));
        }
    }
}
