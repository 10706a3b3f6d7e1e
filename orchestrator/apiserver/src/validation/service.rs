//! The rules of Services.

use wherry_schema::Value;

use super::meta::check_labels;
use super::net::{PROTOCOLS, check_cidr, check_ip, check_not_special, check_port, check_port_or_name, is_ip};
use super::values::{choice, required_choice};
use super::{Errors, Path, Shown, internal, names};
use crate::object::Fields;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const LONGEST_AFFINITY: i64 = 86_400;
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
/// How traffic keeps to its zone.
pub(crate) const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
/// The older name of [`TOPOLOGY_MODE`].
pub(crate) const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const FIXED: &str = "may not change once set";

/// Whether a Service has no address of its own.
fn is_headless(spec: &Value) -> bool {
    spec.text("clusterIP") == "None"
}

/// The rules of a Service's spec.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let (path, spec) = (Path::new("spec"), object.field("spec").unwrap_or(&Value::Null));
    let kind = spec.text("type");
    check_topology(object.map("metadata.annotations"), errors);
    if spec.items("ports").is_empty() && !is_headless(spec) && kind != "ExternalName" {
        errors.required(&path.child("ports"), "");
    }
    check_type(spec, kind, &path, errors);
    check_ports(spec, &path.child("ports"), errors);
    check_labels(spec.map("selector"), &path.child("selector"), errors);
    check_affinity(spec, &path, errors);
    if kind != "ExternalName" {
        check_ips(spec, &path, errors);
    }
    for (index, ip) in spec.items("externalIPs").iter().enumerate() {
        let (ip, path) = (ip.as_str().unwrap_or_default(), path.child("externalIPs").index(index));
        check_ip(ip, None, &path, errors);
        check_not_special(ip, &path, errors);
    }
    required_choice(spec, "type", TYPES, &path, errors);
    check_node_ports(spec, kind, &path.child("ports"), errors);
    check_ranges(object, spec, kind == "LoadBalancer", errors);
    check_balancer(spec, kind, &path, errors);
    check_traffic(spec, kind, &path, errors);
}

fn check_type(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&path.child("clusterIPs").index(0), "None", &detail);
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies"] {
                if !spec.items(field).is_empty() {
                    errors.forbidden(&path.child(field), "may not be set for ExternalName services");
                }
            }
            if spec.has("ipFamilyPolicy") {
                errors.forbidden(&path.child("ipFamilyPolicy"), "may not be set for ExternalName services");
            }
            let name = spec.text("externalName");
            let (name, path) = (name.strip_suffix('.').unwrap_or(name), path.child("externalName"));
            if name.is_empty() {
                errors.required(&path, "");
            } else {
                errors.problems(&path, name, names::subdomain(name));
            }
        }
        _ => {}
    }
}

fn check_ports(spec: &Value, list: &Path, errors: &mut Errors) {
    let ports = spec.items("ports");
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let (path, name) = (list.index(index), port.text("name"));
        if !name.is_empty() {
            errors.problems(&path.child("name"), name, names::label(name));
            if seen.contains(&name) {
                errors.duplicate(&path.child("name"), name);
            }
            seen.push(name);
        } else if ports.len() > 1 {
            errors.required(&path.child("name"), "");
        }
        check_port(port.int("port").unwrap_or(0), &path.child("port"), errors);
        required_choice(port, "protocol", PROTOCOLS, &path, errors);
        let target = port.field("targetPort").unwrap_or(&Value::Int(0));
        check_port_or_name(target, &path.child("targetPort"), errors);
        if let Some(protocol) = port.field("appProtocol").and_then(Value::as_str) {
            errors.problems(&path.child("appProtocol"), protocol, names::qualified(protocol));
        }
    }
}

fn check_affinity(spec: &Value, path: &Path, errors: &mut Errors) {
    required_choice(spec, "sessionAffinity", &["ClientIP", "None"], path, errors);
    let at = path.child("sessionAffinityConfig");
    match spec.text("sessionAffinity") {
        "ClientIP" => match spec.int("sessionAffinityConfig.clientIP.timeoutSeconds") {
            None => errors.required(&at, "when session affinity type is ClientIP"),
            Some(seconds) if !(1..=LONGEST_AFFINITY).contains(&seconds) => {
                let detail = format!("must be greater than 0 and less than {LONGEST_AFFINITY}");
                errors.invalid(&at.child("clientIP.timeoutSeconds"), seconds, &detail);
            }
            Some(_) => {}
        },
        "None" if spec.has("sessionAffinityConfig") => {
            errors.forbidden(&at, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

/// The rules of the addresses of a Service inside the cluster, and of their families.
pub(crate) fn check_ips(spec: &Value, path: &Path, errors: &mut Errors) {
    let first = spec.text("clusterIP");
    let list = spec.items("clusterIPs");
    let ips: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    let (at, shown) = (path.child("clusterIPs"), || Shown::from(&Value::Array(list.to_vec())));
    if first.is_empty() {
        if !ips.is_empty() {
            errors.invalid(&at, shown(), "must be empty when `clusterIP` is not specified");
        }
    } else if ips.is_empty() {
        errors.required(&at, "");
    } else if ips[0] != first {
        errors.invalid(&at, shown(), "first value must match `clusterIP`");
    }
    check_families(spec, path, errors);
    let mut good = true;
    for (index, ip) in ips.iter().enumerate() {
        if index == 0 && *ip == "None" {
            if ips.len() > 1 {
                good = false;
                errors.invalid(&at, shown(), "'None' must be the first and only value");
            }
            continue;
        }
        good &= is_ip(ip);
        check_ip(ip, None, &at.index(index), errors);
    }
    if ips.len() > 2 {
        errors.invalid(&at, shown(), "may only hold up to 2 values");
    }
    if !good {
        return;
    }
    let old_family = ips.iter().filter(|ip| !ip.contains(':')).count();
    if ips.len() > 1 && (old_family > 1 || ips.len() - old_family > 1) {
        errors.invalid(&at, shown(), "may specify no more than one IP for each IP family");
    }
    if is_headless(spec) {
        return;
    }
    let families = spec.items("ipFamilies").iter().filter_map(Value::as_str);
    for (index, (ip, family)) in ips.iter().zip(families).enumerate() {
        if matches!((family, ip.contains(':')), ("IPv4", true) | ("IPv6", false)) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.invalid(&at.index(index), *ip, &detail);
        }
    }
}

fn check_families(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, family) in spec.items("ipFamilies").iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("ipFamilies").index(index);
        if !matches!(family, "IPv4" | "IPv6") {
            errors.unsupported(&path, family, &["IPv4", "IPv6"]);
        }
        if seen.contains(&family) {
            errors.duplicate(&path, family);
        }
        seen.push(family);
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    choice(spec, "ipFamilyPolicy", &policies, path, errors);
}

fn check_node_ports(spec: &Value, kind: &str, list: &Path, errors: &mut Errors) {
    let ports = spec.items("ports");
    let node_port = |port: &Value| port.int("nodePort").unwrap_or(0);
    for (index, _) in ports.iter().enumerate().filter(|(_, p)| kind == "ClusterIP" && node_port(p) != 0) {
        let path = list.index(index).child("nodePort");
        errors.forbidden(&path, "may not be used when `type` is 'ClusterIP'");
    }
    for (index, port) in ports.iter().enumerate() {
        let pair = |port: &Value| (port.int("port"), port.text("protocol").to_owned());
        if ports[..index].iter().any(|other| pair(other) == pair(port)) {
            let mut shown = Value::object();
            for field in ["port", "protocol"] {
                shown.assign(field, port.field(field).cloned());
            }
            shown.put("targetPort", 0);
            errors.duplicate(&list.index(index), internal::show("ServicePort", Some(&shown)));
        }
    }
}

/// Two annotations that say the same thing say it alike.
fn check_topology(annotations: Option<&wherry_schema::Object>, errors: &mut Errors) {
    let get = |key: &str| annotations.and_then(|annotations| annotations.get(key)).and_then(Value::as_str);
    if let (Some(mode), Some(hints)) = (get(TOPOLOGY_MODE), get(TOPOLOGY_HINTS))
        && mode != hints
    {
        let detail = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        errors.invalid(&Path::new("metadata.annotations").key(TOPOLOGY_MODE), mode, &detail);
    }
}

/// The rules of whom a load balancer lets in, by the field or by the annotation that came before it.
fn check_ranges(object: &Value, spec: &Value, balanced: bool, errors: &mut Errors) {
    let ranges = spec.items("loadBalancerSourceRanges");
    let at = Path::new("spec.LoadBalancerSourceRanges");
    if !ranges.is_empty() {
        if !balanced {
            errors.forbidden(&at, BALANCED_ONLY);
        }
        for (index, range) in ranges.iter().enumerate() {
            check_cidr(range.as_str().unwrap_or_default().trim(), &at.index(index), errors);
        }
        return;
    }
    let Some(ranges) = object.str_at(&["metadata", "annotations", SOURCE_RANGES]) else { return };
    let at = Path::new("metadata.annotations").key(SOURCE_RANGES);
    if !balanced {
        errors.forbidden(&at, BALANCED_ONLY);
    }
    for range in ranges.split(',').filter(|_| !ranges.trim().is_empty()) {
        check_cidr(range.trim(), &at, errors);
    }
}

fn check_balancer(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let balanced = kind == "LoadBalancer";
    if spec.has("allocateLoadBalancerNodePorts") && !balanced {
        errors.forbidden(&path.child("allocateLoadBalancerNodePorts"), BALANCED_ONLY);
    }
    if let Some(class) = spec.field("loadBalancerClass").and_then(Value::as_str) {
        let path = path.child("loadBalancerClass");
        if balanced {
            errors.problems(&path, class, names::qualified(class));
        } else {
            errors.forbidden(&path, BALANCED_ONLY);
        }
    }
}

fn check_traffic(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let policy = spec.text("externalTrafficPolicy");
    let exposed = matches!(kind, "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !spec.items("externalIPs").is_empty());
    if exposed {
        required_choice(spec, "externalTrafficPolicy", &["Cluster", "Local"], path, errors);
    } else if !policy.is_empty() {
        let detail = "may only be set for externally-accessible services";
        errors.invalid(&path.child("externalTrafficPolicy"), policy, detail);
    }
    let port = spec.int("healthCheckNodePort").unwrap_or(0);
    if port != 0 {
        let path = path.child("healthCheckNodePort");
        if kind == "LoadBalancer" && policy == "Local" {
            check_port(port, &path, errors);
        } else {
            let detail =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&path, port, detail);
        }
    }
    choice(spec, "internalTrafficPolicy", &["Cluster", "Local"], path, errors);
    let near = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    choice(spec, "trafficDistribution", &near, path, errors);
}

/// The rules of a change: addresses stay.
pub(crate) fn check_update(object: &Value, old: &Value, errors: &mut Errors) {
    let (path, null) = (Path::new("spec"), Value::Null);
    let (spec, before) = (object.field("spec").unwrap_or(&null), old.field("spec").unwrap_or(&null));
    if [spec, before].iter().any(|spec| spec.text("type") == "ExternalName") {
        return;
    }
    if !(is_headless(spec) && is_headless(before)) {
        check_kept(spec, before, ("clusterIPs", "clusterIP"), &path, errors);
    }
    check_kept(spec, before, ("ipFamilies", "ipFamily"), &path, errors);
    let balanced = [spec, before].iter().all(|spec| spec.text("type") == "LoadBalancer");
    if balanced && spec.field("loadBalancerClass") != before.field("loadBalancerClass") {
        let shown = spec.field("loadBalancerClass").unwrap_or(&null);
        errors.invalid(&path.child("loadBalancerClass"), shown, FIXED);
    }
    let checked =
        |spec: &Value| spec.text("type") == "LoadBalancer" && spec.text("externalTrafficPolicy") == "Local";
    if checked(spec)
        && checked(before)
        && spec.int("healthCheckNodePort") != before.int("healthCheckNodePort")
    {
        errors.forbidden(&path.child("healthCheckNodePort"), "field is immutable");
    }
}

/// A list whose first item stays, and whose second may come and go.
fn check_kept(spec: &Value, before: &Value, (list, one): (&str, &str), path: &Path, errors: &mut Errors) {
    let (new, old, at) = (spec.items(list), before.items(list), path.child(list));
    let shown = || Value::Array(new.to_vec());
    if old.len() > new.len() {
        if new.is_empty() {
            errors.invalid(&at.index(0), &shown(), &format!("primary {one} can not be unset"));
        } else if spec.text("ipFamilyPolicy") != "SingleStack" {
            let detail = format!("must be set to 'SingleStack' when releasing the secondary {one}");
            errors.invalid(&path.child("ipFamilyPolicy"), spec.text("ipFamilyPolicy"), &detail);
        }
    }
    // Families are those of the addresses, which are checked themselves.
    let all = old.len() == new.len() && list == "clusterIPs";
    let pairs =
        old.iter().zip(new).enumerate().filter(|(index, _)| all || (*index == 0 && list == "clusterIPs"));
    for (index, _) in pairs.filter(|(_, (before, now))| before != now) {
        errors.invalid(&at.index(index), &shown(), FIXED);
    }
}

/// The rules of where a load balancer can be reached.
pub(crate) fn check_status(object: &Value, errors: &mut Errors) {
    for (index, ingress) in object.items("status.loadBalancer.ingress").iter().enumerate() {
        let path = Path::new("status.loadBalancer.ingress").index(index);
        let (ip, host) = (ingress.text("ip"), ingress.text("hostname"));
        if !ip.is_empty() {
            check_ip(ip, None, &path.child("ip"), errors);
        }
        let mode = path.child("ipMode");
        match ingress.field("ipMode").and_then(Value::as_str) {
            None if !ip.is_empty() => errors.required(&mode, "must be specified when `ip` is set"),
            Some(_) if ip.is_empty() => {
                errors.forbidden(&mode, "may not be specified when `ip` is not set");
            }
            Some(text) if !matches!(text, "VIP" | "Proxy") => {
                errors.unsupported(&mode, text, &["Proxy", "VIP"]);
            }
            _ => {}
        }
        if !host.is_empty() {
            errors.problems(&path.child("hostname"), host, names::subdomain(host));
            if is_ip(host) {
                let detail = "must be a DNS name, not an IP address";
                errors.invalid(&path.child("hostname"), host, detail);
            }
        }
    }
}
