//! Endpoints: the older list of a Service's backends; EndpointSlices replace it.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::net::{check_ip, check_not_special, check_port, check_protocol};
use crate::validation::written::{of_ip, parse_ip};
use crate::validation::{Errors, Path};

/// The rules of Endpoints.
pub(crate) struct Endpoints;

static COLUMNS: &[Column] =
    &[table::NAME, Column::of("Endpoints", "string", "core.v1.Endpoints.subsets"), table::AGE];

impl Rules for Endpoints {
    fn create_on_update(&self) -> bool {
        true
    }

    fn is_derived(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        for (index, subset) in object.items("subsets").iter().enumerate() {
            check_subset(subset, &Path::new("subsets").index(index), errors);
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        for (index, subset) in object.items("subsets").iter().enumerate() {
            for list in ["addresses", "notReadyAddresses"] {
                let path = Path::new("subsets").index(index).child(list);
                for (index, address) in subset.items(list).iter().enumerate() {
                    warnings.extend(of_ip(&path.index(index).child("ip"), address.text("ip")));
                }
            }
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), summary(object).into(), table::age(object, now)]
    }
}

fn check_subset(subset: &Value, path: &Path, errors: &mut Errors) {
    if subset.items("addresses").is_empty() && subset.items("notReadyAddresses").is_empty() {
        errors.required(path, "must specify `addresses` or `notReadyAddresses`");
    }
    for list in ["addresses", "notReadyAddresses"] {
        for (index, address) in subset.items(list).iter().enumerate() {
            check_address(address, &path.child(list).index(index), errors);
        }
    }
    let ports = subset.items("ports");
    for (index, port) in ports.iter().enumerate() {
        let (path, name) = (path.child("ports").index(index), port.text("name"));
        if !name.is_empty() {
            errors.label(name, &path.child("name"));
        } else if ports.len() > 1 {
            errors.required(&path.child("name"), "");
        }
        check_port(port.int("port").unwrap_or(0), &path.child("port"), errors);
        check_protocol(port.text("protocol"), &path.child("protocol"), errors);
        if let Some(protocol) = port.field("appProtocol").and_then(Value::as_str) {
            errors.qualified(protocol, &path.child("appProtocol"));
        }
    }
}

fn check_address(address: &Value, path: &Path, errors: &mut Errors) {
    let (ip, at) = (address.text("ip"), path.child("ip"));
    check_ip(ip, None, &at, errors);
    let host = address.text("hostname");
    if !host.is_empty() {
        errors.label(host, &path.child("hostname"));
    }
    if let Some(node) = address.field("nodeName").and_then(Value::as_str) {
        errors.subdomain(node, &path.child("nodeName"));
    }
    if parse_ip(ip).is_none() {
        errors.invalid(&at, ip, "must be a valid IP address");
    }
    check_not_special(ip, &at, errors);
}

/// The first three `address:port` pairs and how many more there are.
fn summary(object: &Value) -> String {
    let mut pairs = Vec::new();
    for subset in object.items("subsets") {
        let (addresses, ports) = (subset.items("addresses"), subset.items("ports"));
        if ports.is_empty() {
            pairs.extend(addresses.iter().map(|a| a.text("ip").to_owned()));
        }
        for port in ports {
            let number = port.int("port").unwrap_or(0);
            pairs.extend(addresses.iter().map(|a| format!("{}:{number}", a.text("ip"))));
        }
    }
    match pairs.len() {
        0 => "<none>".to_owned(),
        1..=3 => pairs.join(","),
        more => format!("{} + {} more...", pairs[..3].join(","), more - 3),
    }
}
