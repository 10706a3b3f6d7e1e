//! Service: a stable address for Pods. Addresses and node ports are given out in `allocate.rs`.

use jiff::Timestamp;
use wherry_api::names;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, meta, service};

/// The rules of Services.
pub(crate) struct Service;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Type", "string", "core.v1.ServiceSpec.type"),
    Column::of("Cluster-IP", "string", "core.v1.ServiceSpec.clusterIP"),
    Column::of("External-IP", "string", "core.v1.ServiceSpec.externalIPs"),
    Column::of("Port(s)", "string", "core.v1.ServiceSpec.ports"),
    table::AGE,
    Column::of("Selector", "string", "core.v1.ServiceSpec.selector").in_wide(),
];

static FIELDS: &[Selectable] = &[
    Selectable { name: "spec.clusterIP", attribute: "=spec.clusterIP" },
    Selectable { name: "spec.type", attribute: "=spec.type" },
];

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
        names::dns1123_label(name)
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
        service::check(object, errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        meta::check_update(object, old, errors);
        service::check_update(object, old, errors);
        self.validate(object, errors);
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        service::check_status(object, errors);
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
