//! The rules of a Service's spec.

use wherry_api::names;
use wherry_schema::Value;

use super::meta::check_labels;
use super::net::{check_cidr, check_endpoint_ip, check_ip, check_port, check_port_or_name, check_protocol};
use super::{Errors, Path, Shown};
use crate::object::Fields;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

/// The rules of a Service's spec.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let kind = object.text("spec.type");
    check_ports(object, kind, &spec, errors);
    if !TYPES.contains(&kind) {
        errors.unsupported(&spec.child("type"), kind, TYPES);
    }
    check_ips(object, kind, &spec, errors);
    check_choices(object, &spec, errors);
    check_exposure(object, kind, &spec, errors);
    check_labels(object.map("spec.selector"), &spec.child("selector"), errors);
}

fn check_ports(object: &Value, kind: &str, spec: &Path, errors: &mut Errors) {
    let ports = object.items("spec.ports");
    let headless = object.text("spec.clusterIP") == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.required(&spec.child("ports"), "");
    }
    let (mut names_seen, mut seen): (Vec<&str>, Vec<(i64, &str)>) = (Vec::new(), Vec::new());
    for (index, port) in ports.iter().enumerate() {
        let path = spec.child("ports").index(index);
        let (name, number, protocol) =
            (port.text("name"), port.int("port").unwrap_or(0), port.text("protocol"));
        if name.is_empty() {
            if ports.len() > 1 {
                errors.required(&path.child("name"), "");
            }
        } else if let Err(reason) = names::dns1123_label(name) {
            errors.invalid(&path.child("name"), name, &reason);
        } else if names_seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        names_seen.push(name);
        check_port(number, &path.child("port"), errors);
        check_protocol(protocol, &path.child("protocol"), errors);
        if let Some(target) = port.field("targetPort") {
            check_port_or_name(target, &path.child("targetPort"), errors);
        }
        if kind == "ClusterIP" && port.int("nodePort").unwrap_or(0) != 0 {
            errors.forbidden(&path.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
        if seen.contains(&(number, protocol)) {
            errors.duplicate(&path, Shown::raw(show_duplicate(number, protocol)));
        }
        seen.push((number, protocol));
    }
}

fn show_duplicate(port: i64, protocol: &str) -> String {
    format!(
        "{{\"Name\":\"\",\"Protocol\":{protocol:?},\"AppProtocol\":null,\"Port\":{port},\"TargetPort\":0,\"NodePort\":0}}"
    )
}

fn check_ips(object: &Value, kind: &str, spec: &Path, errors: &mut Errors) {
    let ips = object.items("spec.clusterIPs");
    let path = spec.child("clusterIPs");
    let first = object.text("spec.clusterIP");
    let shown = || Shown::from(&Value::Array(ips.to_vec()));
    if kind == "ExternalName" {
        if !ips.is_empty() {
            errors.forbidden(&path, "may not be set for ExternalName services");
        }
        let name = object.text("spec.externalName").trim_end_matches('.');
        let path = spec.child("externalName");
        if name.is_empty() {
            errors.required(&path, "");
        } else if let Err(reason) = names::dns1123_subdomain(name) {
            errors.invalid(&path, name, &reason);
        }
        return;
    }
    if first.is_empty() && !ips.is_empty() {
        errors.invalid(&path, shown(), "must be empty when `clusterIP` is not specified");
    } else if ips.first().and_then(Value::as_str).unwrap_or_default() != first {
        errors.invalid(&path, shown(), "first value must match `clusterIP`");
    }
    if ips.len() > 2 {
        errors.invalid(&path, shown(), "may only hold up to 2 values");
    }
    let families = object.items("spec.ipFamilies");
    for (index, ip) in ips.iter().filter_map(Value::as_str).enumerate() {
        let path = path.index(index);
        if ip == "None" {
            if matches!(kind, "NodePort" | "LoadBalancer") {
                errors.invalid(&path, ip, &format!("may not be set to 'None' for {kind} services"));
            }
        } else {
            check_ip(ip, None, &path, errors);
            let family = families.get(index).and_then(Value::as_str).unwrap_or_default();
            if family == "IPv6" && !ip.contains(':') {
                errors.invalid(&path, ip, "expected an IPv6 value as indicated by `ipFamilies[0]`");
            }
        }
    }
    let v4 = ips.iter().filter_map(Value::as_str).filter(|ip| ip.contains('.')).count();
    if v4 > 1 || ips.len() - v4 > 1 {
        errors.invalid(&path, shown(), "may specify no more than one IP for each IP family");
    }
}

fn check_choices(object: &Value, spec: &Path, errors: &mut Errors) {
    let mut choice = |field: &str, supported: &[&str]| {
        let value = object.text(&format!("spec.{field}"));
        if !value.is_empty() && !supported.contains(&value) {
            errors.unsupported(&spec.child(field), value, supported);
        }
    };
    choice("sessionAffinity", &["ClientIP", "None"]);
    choice("internalTrafficPolicy", &["Cluster", "Local"]);
    choice("trafficDistribution", &["PreferClose", "PreferSameZone", "PreferSameNode"]);
    choice("ipFamilyPolicy", &["SingleStack", "PreferDualStack", "RequireDualStack"]);
}

fn check_exposure(object: &Value, kind: &str, spec: &Path, errors: &mut Errors) {
    let external_ips = object.items("spec.externalIPs");
    for (index, ip) in external_ips.iter().enumerate() {
        check_endpoint_ip(ip.as_str().unwrap_or_default(), &spec.child("externalIPs").index(index), errors);
    }
    let policy = object.text("spec.externalTrafficPolicy");
    let path = spec.child("externalTrafficPolicy");
    let exposed = matches!(kind, "NodePort" | "LoadBalancer") || !external_ips.is_empty();
    if !policy.is_empty() && !exposed {
        errors.invalid(&path, policy, "may only be set for externally-accessible services");
    } else if !matches!(policy, "" | "Cluster" | "Local") {
        errors.unsupported(&path, policy, &["Cluster", "Local"]);
    }
    let ranges = object.items("spec.loadBalancerSourceRanges");
    let path = spec.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && kind != "LoadBalancer" {
        errors.forbidden(&path, "may only be used when `type` is 'LoadBalancer'");
    }
    for (index, range) in ranges.iter().enumerate() {
        check_cidr(range.as_str().unwrap_or_default(), &path.index(index), errors);
    }
    if kind != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if object.has(&format!("spec.{field}")) {
                errors.forbidden(&spec.child(field), "may only be used when `type` is 'LoadBalancer'");
            }
        }
    } else if object.has("spec.loadBalancerClass")
        && let Err(reason) = names::label_key(object.text("spec.loadBalancerClass"))
    {
        errors.invalid(&spec.child("loadBalancerClass"), object.text("spec.loadBalancerClass"), &reason);
    }
}
