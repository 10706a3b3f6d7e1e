//! EndpointSlice: a part of a Service's backends, all of one address family.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::net::{check_ip, check_not_special, check_protocol};
use crate::validation::written::of_ip;
use crate::validation::{Errors, Path, names};

/// The rules of EndpointSlices.
pub(crate) struct EndpointSlice;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("AddressType", "string", "discovery.v1.EndpointSlice.addressType"),
    Column::of("Ports", "string", "discovery.v1.EndpointSlice.ports"),
    Column::of("Endpoints", "string", "discovery.v1.EndpointSlice.endpoints"),
    table::AGE,
];

/// What a name has to be.
type NameRule = fn(&str) -> names::Problems;

/// Where traffic to an endpoint should come from, and the rules of the names of such places.
const HINTS: &[(&str, NameRule)] = &[("forZones", names::label_value), ("forNodes", names::subdomain)];

impl Rules for EndpointSlice {
    fn generation(&self) -> &'static [&'static str] {
        &["endpoints", "ports", "metadata.labels"]
    }

    fn is_derived(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let family = object.text("addressType");
        let path = Path::new("addressType");
        match family {
            "" => errors.required(&path, ""),
            "IPv4" | "IPv6" | "FQDN" => {}
            other => errors.unsupported(&path, other, &["FQDN", "IPv4", "IPv6"]),
        }
        let endpoints = object.items("endpoints");
        if endpoints.len() > 1000 {
            errors.too_many(&Path::new("endpoints"), endpoints.len(), 1000);
        } else {
            for (index, endpoint) in endpoints.iter().enumerate() {
                let path = Path::new("endpoints").index(index);
                check_addresses(endpoint, (family, is_own(object)), &path, errors);
                check_endpoint(endpoint, &path, errors);
            }
        }
        check_ports(object.items("ports"), errors);
    }

    fn prepare_create(&self, object: &mut Value) {
        drop_topology(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if !object::same(object, old, "endpoints") {
            drop_topology(object);
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        let family = object.text("addressType");
        if family == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        for (index, endpoint) in object.items("endpoints").iter().enumerate() {
            let path = Path::new("endpoints").index(index).child("addresses");
            for (index, address) in endpoint.items("addresses").iter().filter_map(Value::as_str).enumerate() {
                warnings.extend(of_ip(&path.index(index), address).filter(|_| family != "FQDN"));
            }
        }
        warnings
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "addressType") {
            errors.invalid(&Path::new("addressType"), object.text("addressType"), "field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let ports: Vec<String> = object.items("ports").iter().map(show_port).collect();
        let addresses: Vec<String> = object
            .items("endpoints")
            .iter()
            .flat_map(|e| e.items("addresses"))
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        vec![
            table::name(object),
            object.text("addressType").into(),
            some(&ports).into(),
            some(&addresses).into(),
            table::age(object, now),
        ]
    }
}

/// The place of a node by labels is no longer kept.
fn drop_topology(object: &mut Value) {
    for endpoint in object.items_mut("endpoints") {
        endpoint.take("deprecatedTopology");
    }
}

/// Whether it is the slice of the API server itself, which may listen on this machine alone.
fn is_own(object: &Value) -> bool {
    object::namespace(object) == "default"
        && object.str_at(&["metadata", "labels", "kubernetes.io/service-name"]) == Some("kubernetes")
}

fn check_addresses(endpoint: &Value, (family, own): (&str, bool), path: &Path, errors: &mut Errors) {
    let (addresses, list) = (endpoint.items("addresses"), path.child("addresses"));
    if addresses.is_empty() {
        errors.required(&list, "must contain at least 1 address");
    } else if addresses.len() > 100 {
        errors.too_many(&list, addresses.len(), 100);
    }
    for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        let path = list.index(index);
        match family {
            "IPv4" | "IPv6" => {
                let before = errors.causes().len();
                check_ip(address, Some(family), &path, errors);
                if errors.causes().len() == before && !own {
                    check_not_special(address, &path, errors);
                }
            }
            "FQDN" => check_domain(address, &path, errors),
            _ => {}
        }
    }
}

/// The rules of a name of at least two parts.
fn check_domain(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let problems = names::subdomain(name);
    if !problems.is_empty() {
        errors.invalid(path, name, &problems.join(","));
    } else if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.invalid(path, name, detail);
    } else if let Some(part) = name.split('.').find(|part| !names::label(part).is_empty()) {
        errors.invalid(path, part, &names::label(part).join(","));
    }
}

fn check_endpoint(endpoint: &Value, path: &Path, errors: &mut Errors) {
    if let Some(node) = endpoint.field("nodeName").and_then(Value::as_str) {
        errors.subdomain(node, &path.child("nodeName"));
    }
    if let Some(host) = endpoint.field("hostname").and_then(Value::as_str) {
        errors.label(host, &path.child("hostname"));
    }
    for (field, rule) in HINTS {
        let (hints, path) = (endpoint.items(&format!("hints.{field}")), path.child("hints").child(field));
        if hints.len() > 8 {
            errors.too_many(&path, hints.len(), 8);
            return;
        }
        for (index, hint) in hints.iter().enumerate() {
            let (name, path) = (hint.text("name"), path.index(index).child("name"));
            if hints[..index].iter().any(|other| other.text("name") == name) {
                errors.duplicate(&path, name);
            }
            errors.problems(&path, name, rule(name));
        }
    }
}

fn check_ports(ports: &[Value], errors: &mut Errors) {
    if ports.len() > 20_000 {
        errors.too_many(&Path::new("ports"), ports.len(), 20_000);
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let (name, path) = (port.text("name"), Path::new("ports").index(index));
        if !name.is_empty() {
            errors.label(name, &path.child("name"));
        }
        if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        seen.push(name);
        check_protocol(port.text("protocol"), &path.child("protocol"), errors);
        if let Some(protocol) = port.field("appProtocol").and_then(Value::as_str) {
            errors.qualified(protocol, &path.child("appProtocol"));
        }
    }
}

fn show_port(port: &Value) -> String {
    match (port.int("port"), port.field("name").and_then(Value::as_str)) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    }
}

/// The first three texts and how many more there are.
fn some(texts: &[String]) -> String {
    match texts.len() {
        0 => "<unset>".to_owned(),
        1..=3 => texts.join(","),
        more => format!("{} + {} more...", texts[..3].join(","), more - 3),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::kinds::told;

    #[rstest]
    #[case("IPv4", json!([{"addresses": ["127.0.0.1"]}]), "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    #[case("IPv4", json!([{"addresses": ["x"]}]), "endpoints[0].addresses[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    #[case("FQDN", json!([{"addresses": ["a"]}]), "endpoints[0].addresses[0]: Invalid value: \"a\": should be a domain with at least two segments separated by dots")]
    #[case("IPv4", json!([{"addresses": ["1.2.3.4"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]), "endpoints[0].hints.forZones[1].name: Duplicate value: \"a\"")]
    #[case("IPv4", json!([{"addresses": ["1.2.3.4"], "nodeName": "n", "deprecatedTopology": {"a b": "c"}}]), "")]
    fn new_slices(#[case] family: &str, #[case] endpoints: Value, #[case] told: &str) {
        assert_eq!(
            told::of_new(
                "endpointslices.discovery.k8s.io",
                json!({"addressType": family, "endpoints": endpoints})
            ),
            told
        );
    }
}
