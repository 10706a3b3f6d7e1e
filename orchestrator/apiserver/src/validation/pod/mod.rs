//! The rules of a Pod's spec, shared by Pods and pod templates.

mod affinity;
mod container;
mod probe;
mod resources;
mod security;
mod volume;

use wherry_api::names;
use wherry_schema::Value;

use super::net::check_ip;
use super::{Errors, Path, Shown};
use crate::object::Fields;

pub(crate) use affinity::check_tolerations;

/// The rules of a Pod's spec.
pub(crate) fn check_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    volume::check_volumes(spec, path, errors);
    container::check_containers(spec, path, errors);
    check_policies(spec, path, errors);
    check_names(spec, path, errors);
    security::check_pod(spec, path, errors);
    affinity::check(spec, path, errors);
    check_hosts(spec, path, errors);
    check_gates(spec, path, errors);
    resources::check(spec.field("resources"), &path.child("resources"), errors);
}

/// Refuses a value that is not one of a set; missing is fine.
fn check_choice(object: &Value, field: &str, supported: &[&str], path: &Path, errors: &mut Errors) {
    let value = object.text(field);
    if !value.is_empty() && !supported.contains(&value) {
        errors.unsupported(&path.child(field), value, supported);
    }
}

/// Refuses a name that breaks a rule of names; missing is fine.
fn check_name(
    object: &Value,
    field: &str,
    rule: fn(&str) -> Result<(), String>,
    path: &Path,
    errors: &mut Errors,
) {
    let name = object.text(field);
    if !name.is_empty()
        && let Err(reason) = rule(name)
    {
        errors.invalid(&path.child(field), name, &reason);
    }
}

fn check_policies(spec: &Value, path: &Path, errors: &mut Errors) {
    match spec.text("restartPolicy") {
        "" => errors.required(&path.child("restartPolicy"), ""),
        "Always" | "OnFailure" | "Never" => {}
        other => {
            errors.unsupported(&path.child("restartPolicy"), other, &["Always", "OnFailure", "Never"]);
        }
    }
    check_dns(spec, path, errors);
    if let Some(seconds) = spec.int("activeDeadlineSeconds").filter(|s| !(1..=2_147_483_647).contains(s)) {
        let path = path.child("activeDeadlineSeconds");
        errors.invalid(&path, seconds, "must be between 1 and 2147483647, inclusive");
    }
    if let Some(seconds) = spec.int("terminationGracePeriodSeconds").filter(|s| *s < 0) {
        let path = path.child("terminationGracePeriodSeconds");
        errors.invalid(&path, seconds, "must be greater than or equal to 0");
    }
    check_choice(spec, "preemptionPolicy", &["Never", "PreemptLowerPriority"], path, errors);
}

fn check_dns(spec: &Value, path: &Path, errors: &mut Errors) {
    let policy = spec.text("dnsPolicy");
    if policy.is_empty() {
        errors.required(&path.child("dnsPolicy"), "");
    }
    check_choice(
        spec,
        "dnsPolicy",
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        path,
        errors,
    );
    let config = path.child("dnsConfig");
    let servers = spec.items("dnsConfig.nameservers");
    if policy == "None" && !spec.has("dnsConfig") {
        errors.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
    } else if policy == "None" && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.required(&config.child("nameservers"), detail);
    }
    if servers.len() > 3 {
        let shown = Shown::from(&Value::Array(servers.to_vec()));
        errors.invalid(&config.child("nameservers"), shown, "must not have more than 3 nameservers");
    }
    for (index, server) in servers.iter().enumerate() {
        let path = config.child("nameservers").index(index);
        check_ip(server.as_str().unwrap_or_default(), None, &path, errors);
    }
    for (index, option) in spec.items("dnsConfig.options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&config.child("options").index(index), "must not be empty");
        }
    }
}

fn check_names(spec: &Value, path: &Path, errors: &mut Errors) {
    check_name(spec, "hostname", names::dns1123_label, path, errors);
    check_name(spec, "subdomain", names::dns1123_label, path, errors);
    check_name(spec, "serviceAccountName", names::dns1123_subdomain, path, errors);
    check_name(spec, "nodeName", names::dns1123_subdomain, path, errors);
    check_name(spec, "runtimeClassName", names::dns1123_subdomain, path, errors);
    check_name(spec, "priorityClassName", names::dns1123_subdomain, path, errors);
    super::meta::check_labels(spec.map("nodeSelector"), &path.child("nodeSelector"), errors);
    if let Some(os) = spec.field("os") {
        match os.text("name") {
            "" => errors.required(&path.child("os.name"), ""),
            "linux" | "windows" => {}
            other => errors.unsupported(&path.child("os"), other, &["linux", "windows"]),
        }
    }
}

fn check_hosts(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        check_ip(alias.text("ip"), None, &path.child("ip"), errors);
        for (index, host) in alias.items("hostnames").iter().enumerate() {
            let host = host.as_str().unwrap_or_default();
            if let Err(reason) = names::dns1123_subdomain(host) {
                errors.invalid(&path.child("hostnames").index(index), host, &reason);
            }
        }
    }
}

fn check_gates(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, gate) in spec.items("readinessGates").iter().enumerate() {
        let kind = gate.text("conditionType");
        if let Err(reason) = names::label_key(kind) {
            errors.invalid(&path.child("readinessGates").index(index).child("conditionType"), kind, &reason);
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, gate) in spec.items("schedulingGates").iter().enumerate() {
        let (name, path) = (gate.text("name"), path.child("schedulingGates").index(index));
        if let Err(reason) = names::label_key(name) {
            errors.invalid(&path, name, &reason);
        }
        if seen.contains(&name) {
            errors.duplicate(&path, name);
        }
        seen.push(name);
    }
}

/// Refuses a change of anything in a Pod's spec that a running Pod could not follow.
pub(crate) fn check_spec_update(spec: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    if !only_added(spec.items("tolerations"), old.items("tolerations")) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.forbidden(&path.child("tolerations"), detail);
    }
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        for list in ["containers", "initContainers"] {
            for container in spec.items_mut(list) {
                container.take("image");
            }
        }
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            spec.take(field);
        }
        spec
    };
    if old.items("schedulingGates") != spec.items("schedulingGates") {
        check_gate_update(spec, old, &path, errors);
    }
    let (mut new_fixed, mut old_fixed) = (fixed(spec), fixed(old));
    new_fixed.take("schedulingGates");
    old_fixed.take("schedulingGates");
    if new_fixed != old_fixed {
        errors.forbidden(
            &path,
            "pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
             existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
             previously negative)",
        );
    }
}

fn check_gate_update(spec: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let known = old.items("schedulingGates");
    if spec.items("schedulingGates").iter().any(|gate| !known.contains(gate)) {
        let detail = "only deletion is allowed, but found new scheduling gates";
        errors.forbidden(&path.child("schedulingGates"), detail);
    }
}

fn only_added(new: &[Value], old: &[Value]) -> bool {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.take("tolerationSeconds");
        toleration
    };
    let new: Vec<Value> = new.iter().map(bare).collect();
    old.iter().all(|t| new.contains(&bare(t)))
}
