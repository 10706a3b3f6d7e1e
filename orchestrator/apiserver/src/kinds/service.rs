//! Service: a stable address for Pods. Addresses and node ports are given out in `allocate.rs`.

use jiff::Timestamp;
use wherry_api::names;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::net::{
    check_cidr, check_endpoint_ip, check_ip, check_port, check_port_or_name, check_protocol,
};
use crate::validation::{Errors, Path, Shown};

/// The rules of Services.
pub(crate) struct Service;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new("Type", "string", "How the Service is exposed"),
    Column::new("Cluster-IP", "string", "Its address inside the cluster"),
    Column::new("External-IP", "string", "Its addresses outside the cluster"),
    Column::new("Port(s)", "string", "Its ports"),
    table::AGE,
    Column::wide("Selector", "string", "Labels of its Pods"),
];

static FIELDS: &[Selectable] = &[
    Selectable { name: "spec.clusterIP", attribute: "=spec.clusterIP" },
    Selectable { name: "spec.type", attribute: "=spec.type" },
];

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

impl Rules for Service {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        if name.contains('.') {
            return Err("must not contain dots".to_owned());
        }
        names::dns1035_label(name)
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
        object.put("status.loadBalancer", Value::object());
        normalize_ips(object, None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        normalize_ips(object, Some(old));
        keep_allocated(object, old);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = Path::new("spec");
        let kind = object.text("spec.type");
        check_ports(object, kind, &spec, errors);
        if !TYPES.contains(&kind) {
            errors.unsupported(&spec.child("type"), kind, TYPES);
        }
        check_ips(object, kind, &spec, errors);
        check_choices(object, &spec, errors);
        check_exposure(object, kind, &spec, errors);
        crate::validation::meta::check_labels(object.map("spec.selector"), &spec.child("selector"), errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let external = |o: &Value| o.text("spec.type") == "ExternalName";
        let (new_ips, old_ips) = (object.items("spec.clusterIPs"), old.items("spec.clusterIPs"));
        if !external(object) && !external(old) && !old_ips.is_empty() && new_ips.first() != old_ips.first() {
            let shown = Shown::from(&Value::Array(new_ips.to_vec()));
            errors.invalid(&Path::new("spec.clusterIPs").index(0), shown, "may not change once set");
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let deprecated = "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
        if object.items("spec.externalIPs").is_empty() { Vec::new() } else { vec![deprecated.to_owned()] }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let selector = table::labels(object, "spec.selector");
        vec![
            table::name(object),
            object.text("spec.type").into(),
            table::text_or(object, "spec.clusterIP", "<none>"),
            external(object).into(),
            show_ports(object).into(),
            table::age(object, now),
            if selector.is_empty() { "<none>".into() } else { selector.into() },
        ]
    }
}

/// Whether a Service of this object gets an address of its own.
pub(crate) fn needs_ip(object: &Value) -> bool {
    object.text("spec.type") != "ExternalName" && object.text("spec.clusterIP") != "None"
}

/// Whether its ports are opened on every node.
pub(crate) fn needs_node_ports(object: &Value) -> bool {
    match object.text("spec.type") {
        "NodePort" => true,
        "LoadBalancer" => {
            object.field("spec.allocateLoadBalancerNodePorts").and_then(Value::as_bool) != Some(false)
        }
        _ => false,
    }
}

/// Makes `clusterIP` and `clusterIPs` say the same, whichever the client used.
fn normalize_ips(object: &mut Value, old: Option<&Value>) {
    let ip = object.text("spec.clusterIP").to_owned();
    let has_list = !object.items("spec.clusterIPs").is_empty();
    let changed = old.is_some_and(|old| old.text("spec.clusterIP") != ip);
    let list_unchanged = old.is_some_and(|old| object::same(object, old, "spec.clusterIPs"));
    if !ip.is_empty() && (!has_list || (changed && list_unchanged)) {
        object.put("spec.clusterIPs", vec![ip]);
    } else if ip.is_empty() && changed && list_unchanged {
        object.take("spec.clusterIPs");
    }
}

/// What was given out stays when an update does not mention it.
fn keep_allocated(object: &mut Value, old: &Value) {
    if object.text("spec.type") == "ExternalName" {
        let unchanged = |field: &str| object::same(object, old, field);
        if old.text("spec.type") != "ExternalName" && unchanged("spec.clusterIP") {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                object.take(&format!("spec.{field}"));
            }
        }
    } else if object.text("spec.clusterIP").is_empty() && object.items("spec.clusterIPs").is_empty() {
        for field in ["clusterIP", "clusterIPs"] {
            object.assign(&format!("spec.{field}"), old.field(&format!("spec.{field}")).cloned());
        }
    }
    if object.text("spec.type") != "ExternalName" {
        for field in ["spec.ipFamilies", "spec.ipFamilyPolicy"] {
            if !object.has(field) {
                object.assign(field, old.field(field).cloned());
            }
        }
    }
    if needs_node_ports(object) && needs_node_ports(old) {
        keep_node_ports(object, old);
        if !object.has("spec.healthCheckNodePort") && object.text("spec.externalTrafficPolicy") == "Local" {
            object.assign("spec.healthCheckNodePort", old.field("spec.healthCheckNodePort").cloned());
        }
    } else if needs_node_ports(old) {
        drop_unchanged_node_ports(object, old);
    }
}

fn same_port(a: &Value, b: &Value) -> bool {
    a.int("port") == b.int("port") && a.text("protocol") == b.text("protocol")
}

fn keep_node_ports(object: &mut Value, old: &Value) {
    let used: Vec<i64> = object.items("spec.ports").iter().filter_map(|p| p.int("nodePort")).collect();
    for port in object.items_mut("spec.ports") {
        let before = old.items("spec.ports").iter().find(|o| same_port(o, port));
        let number = before.and_then(|o| o.int("nodePort")).filter(|n| !used.contains(n));
        if port.int("nodePort").unwrap_or(0) == 0
            && let Some(number) = number
        {
            port.put("nodePort", number);
        }
    }
}

/// A Service that stops being exposed gives its node ports back without having to say so.
fn drop_unchanged_node_ports(object: &mut Value, old: &Value) {
    for port in object.items_mut("spec.ports") {
        let before = old.items("spec.ports").iter().find(|o| same_port(o, port));
        if before.is_some_and(|o| o.int("nodePort") == port.int("nodePort")) {
            port.take("nodePort");
        }
    }
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

fn external(object: &Value) -> String {
    let list = |path: &str| -> Vec<String> {
        object.items(path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match object.text("spec.type") {
        "ExternalName" => object.text("spec.externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = object.items("status.loadBalancer.ingress").iter();
            let mut all: Vec<String> = ingress
                .map(|i| if i.text("ip").is_empty() { i.text("hostname") } else { i.text("ip") }.to_owned())
                .collect();
            all.extend(list("spec.externalIPs"));
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => {
            let ips = list("spec.externalIPs");
            if ips.is_empty() { "<none>".to_owned() } else { ips.join(",") }
        }
    }
}

fn show_ports(object: &Value) -> String {
    let ports: Vec<String> = object
        .items("spec.ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (port.int("port").unwrap_or(0), port.text("protocol"));
            match port.int("nodePort").filter(|n| *n > 0) {
                Some(node) => format!("{number}:{node}/{protocol}"),
                None => format!("{number}/{protocol}"),
            }
        })
        .collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}
