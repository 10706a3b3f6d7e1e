//! Service: a stable address for Pods. Addresses and node ports are given out in `allocate.rs`.

use std::collections::BTreeSet;

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
        drop_second_family(object, old);
        drop_unneeded(object, old);
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
        super::service_warnings::of(object)
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
    let named = |object: &Value| object.text("spec.type") == "ExternalName";
    if !named(object) {
        if object.text("spec.clusterIP").is_empty() && object.items("spec.clusterIPs").is_empty() {
            for field in ["spec.clusterIP", "spec.clusterIPs"] {
                object.assign(field, old.field(field).cloned());
            }
        }
        for field in ["spec.ipFamilies", "spec.ipFamilyPolicy"] {
            if !object.has(field) {
                object.assign(field, old.field(field).cloned());
            }
        }
    }
    if needs_node_ports(object) && needs_node_ports(old) {
        keep_node_ports(object, old);
    }
    let health = "spec.healthCheckNodePort";
    if has_health_port(object) && has_health_port(old) && object.int(health).unwrap_or(0) == 0 {
        object.assign(health, old.field(health).cloned());
    }
}

/// A Service that is to have one family gives the second one back without having to say so.
fn drop_second_family(object: &mut Value, old: &Value) {
    let (policy, single) = ("spec.ipFamilyPolicy", "SingleStack");
    if object.text(policy) != single || ["", single].contains(&old.text(policy)) {
        return;
    }
    for field in ["spec.clusterIPs", "spec.ipFamilies"] {
        if object::same(object, old, field)
            && let [first, _] = object.items(field)
        {
            let first = first.clone();
            object.put(field, vec![first]);
        }
    }
}

/// What a Service no longer has by its type it gives back without having to say so.
fn drop_unneeded(object: &mut Value, old: &Value) {
    let is = |object: &Value, kind: &str| object.text("spec.type") == kind;
    let mut unneeded: Vec<&str> = Vec::new();
    if is(object, "ExternalName") && !is(old, "ExternalName") {
        unneeded.extend(["spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy"]);
    }
    if has_health_port(old) && !has_health_port(object) {
        unneeded.push("spec.healthCheckNodePort");
    }
    if is(old, "LoadBalancer") && !is(object, "LoadBalancer") {
        unneeded.extend(["spec.allocateLoadBalancerNodePorts", "spec.loadBalancerClass"]);
    }
    if is_exposed(old) && !is_exposed(object) {
        unneeded.push("spec.externalTrafficPolicy");
    }
    unneeded.retain(|field| object::same(object, old, field));
    for field in unneeded {
        object.take(field);
        if field == "spec.clusterIPs" {
            object.take("spec.clusterIP");
        }
    }
    let ports = |object: &Value| -> BTreeSet<i64> {
        object.items("spec.ports").iter().map(|port| port.int("nodePort").unwrap_or(0)).collect()
    };
    if needs_node_ports(old) && !needs_node_ports(object) && ports(object) == ports(old) {
        for port in object.items_mut("spec.ports") {
            port.take("nodePort");
        }
    }
}

/// Whether a port of every node tells if the Service has Pods there.
fn has_health_port(object: &Value) -> bool {
    object.text("spec.type") == "LoadBalancer" && object.text("spec.externalTrafficPolicy") == "Local"
}

/// Whether the Service can be reached from outside of the cluster.
fn is_exposed(object: &Value) -> bool {
    match object.text("spec.type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !object.items("spec.externalIPs").is_empty(),
        _ => false,
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

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::told;

    fn service(kind: &str, changes: &Value) -> Value {
        let mut spec =
            json!({"type": kind, "ports": [{"port": 80, "nodePort": 30001}], "clusterIP": "10.96.0.9"});
        if kind == "ClusterIP" {
            spec["ports"] = json!([{"port": 80}]);
        }
        for (field, value) in changes.as_object().unwrap() {
            spec[field] = value.clone();
        }
        json!({ "spec": spec })
    }

    #[rstest]
    #[case("NodePort", json!({}), &["ports.0.nodePort", "externalTrafficPolicy"])]
    #[case("LoadBalancer", json!({"loadBalancerClass": "a/b"}), &["loadBalancerClass", "allocateLoadBalancerNodePorts"])]
    #[case("LoadBalancer", json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": 30002}), &["healthCheckNodePort"])]
    fn what_its_type_does_not_have_is_dropped(
        #[case] kind: &str,
        #[case] changes: Value,
        #[case] gone: &[&str],
    ) {
        let old = told::object("services", service(kind, &changes));
        let mut new = old.clone();
        new.put("spec.type", "ClusterIP");
        Service.prepare_update(&mut new, &old);
        for field in gone {
            let pointer = format!("/spec/{}", field.replace('.', "/"));
            assert!(old.pointer(&pointer).is_some() && new.pointer(&pointer).is_none(), "{field}");
        }
        assert_eq!(new.text("spec.clusterIP"), "10.96.0.9");
    }

    #[test]
    fn a_name_elsewhere_has_no_address() {
        let old = told::object("services", service("ClusterIP", &json!({"clusterIPs": ["10.96.0.9"]})));
        let mut new = old.clone();
        new.put("spec.type", "ExternalName");
        Service.prepare_update(&mut new, &old);
        assert!(!new.has("spec.clusterIP") && !new.has("spec.clusterIPs"));
    }

    #[rstest]
    #[case(json!({"externalIPs": ["1.2.3.4"], "clusterIP": "None"}), &["spec.externalIPs is ignored for headless services"])]
    #[case(json!({"trafficDistribution": "PreferClose"}), &["spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""])]
    #[case(json!({"externalName": "a.b"}), &["spec.externalName is ignored when spec.type is not \"ExternalName\""])]
    #[case(json!({}), &[])]
    fn warnings(#[case] changes: Value, #[case] told: &[&str]) {
        let object = told::object("services", service("ClusterIP", &changes));
        assert_eq!(Service.warnings(&object), told);
    }

    #[rstest]
    #[case("ClusterIP", json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}), "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'")]
    #[case("LoadBalancer", json!({"ports": [{"port": 10250}]}), "")]
    fn new_services(#[case] kind: &str, #[case] changes: Value, #[case] told: &str) {
        assert_eq!(told::of_new("services", service(kind, &changes)), told);
    }
}
