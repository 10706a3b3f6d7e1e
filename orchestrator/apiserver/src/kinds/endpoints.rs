//! Endpoints: the older list of a Service's backends; EndpointSlices replace it.

use std::net::IpAddr;

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::net::{check_endpoint_ip, check_port, check_protocol};
use crate::validation::{Errors, Path};

/// The rules of Endpoints.
pub(crate) struct Endpoints;

static COLUMNS: &[Column] =
    &[table::NAME, Column::of("Endpoints", "string", "core.v1.Endpoints.subsets"), table::AGE];

impl Rules for Endpoints {
    fn create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        for (index, subset) in object.items("subsets").iter().enumerate() {
            check_subset(subset, &Path::new("subsets").index(index), errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), summary(object).into(), table::age(object, now)]
    }
}

fn check_subset(subset: &Value, path: &Path, errors: &mut Errors) {
    for list in ["addresses", "notReadyAddresses"] {
        for (index, address) in subset.items(list).iter().enumerate() {
            let ip = path.child(list).index(index).child("ip");
            check_endpoint_ip(address.text("ip"), &ip, errors);
            if address.text("ip").parse::<IpAddr>().is_err() {
                errors.invalid(&ip, address.text("ip"), "must be a valid IP address");
            }
        }
    }
    let ports = subset.items("ports");
    for (index, port) in ports.iter().enumerate() {
        let path = path.child("ports").index(index);
        if ports.len() > 1 && port.text("name").is_empty() {
            errors.required(&path.child("name"), "");
        }
        check_port(port.int("port").unwrap_or(0), &path.child("port"), errors);
        check_protocol(port.text("protocol"), &path.child("protocol"), errors);
    }
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
