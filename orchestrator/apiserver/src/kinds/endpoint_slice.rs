//! EndpointSlice: a part of a Service's backends, all of one address family.

use jiff::Timestamp;
use wherry_api::names;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::net::{check_ip, check_protocol};
use crate::validation::{Errors, Path};

/// The rules of EndpointSlices.
pub(crate) struct EndpointSlice;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("AddressType", "string", "discovery.v1.EndpointSlice.addressType"),
    Column::of("Ports", "string", "discovery.v1.EndpointSlice.ports"),
    Column::of("Endpoints", "string", "discovery.v1.EndpointSlice.endpoints"),
    table::AGE,
];

impl Rules for EndpointSlice {
    fn generation(&self) -> &'static [&'static str] {
        &["endpoints", "ports", "metadata.labels"]
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
            errors.invalid(
                &Path::new("endpoints"),
                table_len(endpoints.len()),
                "must have at most 1000 items",
            );
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            check_endpoint(endpoint, family, &Path::new("endpoints").index(index), errors);
        }
        check_ports(object.items("ports"), errors);
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

fn table_len(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn check_endpoint(endpoint: &Value, family: &str, path: &Path, errors: &mut Errors) {
    let addresses = endpoint.items("addresses");
    if addresses.is_empty() {
        errors.required(&path.child("addresses"), "must contain at least 1 address");
    }
    for (index, address) in addresses.iter().enumerate() {
        let (address, path) = (address.as_str().unwrap_or_default(), path.child("addresses").index(index));
        match family {
            "IPv4" | "IPv6" => check_ip(address, Some(family), &path, errors),
            "FQDN" => {
                if let Err(reason) = names::dns1123_subdomain(address) {
                    errors.invalid(&path, address, &reason);
                }
            }
            _ => {}
        }
    }
    let hostname = endpoint.text("hostname");
    if !hostname.is_empty()
        && let Err(reason) = names::dns1123_label(hostname)
    {
        errors.invalid(&path.child("hostname"), hostname, &reason);
    }
    for (index, zone) in endpoint.items("hints.forZones").iter().enumerate() {
        if let Err(reason) = names::label_value(zone.text("name")) {
            let path = path.child("hints.forZones").index(index).child("name");
            errors.invalid(&path, zone.text("name"), &reason);
        }
    }
}

fn check_ports(ports: &[Value], errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let (name, path) = (port.text("name"), Path::new("ports").index(index));
        if !name.is_empty()
            && let Err(reason) = names::dns1123_label(name)
        {
            errors.invalid(&path.child("name"), name, &reason);
        }
        if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        seen.push(name);
        check_protocol(port.text("protocol"), &path.child("protocol"), errors);
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
