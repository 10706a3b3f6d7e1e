//! ServiceCIDR: a range that cluster IPs are taken from.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::{Errors, Path, Shown, canonical};

/// The rules of ServiceCIDRs.
pub(crate) struct ServiceCidr;

static COLUMNS: &[Column] =
    &[table::NAME, Column::of("CIDRs", "string", "networking.v1.ServiceCIDRSpec.cidrs"), table::AGE];

const IMMUTABLE: &str = "field is immutable";

impl Rules for ServiceCidr {
    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        check_cidrs(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("spec.cidrs");
        let (new, before) = (object.items("spec.cidrs"), old.items("spec.cidrs"));
        let compared = match (before.len(), new.len()) {
            (a, b) if a == b => a,
            // Growing to two families is allowed.
            (1, 2) => 1,
            _ => {
                errors.invalid(&path, &Value::Array(new.to_vec()), IMMUTABLE);
                return;
            }
        };
        for index in 0..compared {
            if new[index] != before[index] {
                errors.invalid(&path.index(index), &new[index], IMMUTABLE);
            }
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let cidrs: Vec<&str> = object.items("spec.cidrs").iter().filter_map(Value::as_str).collect();
        vec![table::name(object), cidrs.join(",").into(), table::age(object, now)]
    }
}

fn check_cidrs(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec.cidrs");
    let cidrs = object.items("spec.cidrs");
    if cidrs.is_empty() {
        errors.required(&path, "at least one CIDR required");
        return;
    }
    if cidrs.len() > 2 {
        let shown = Shown::raw(format!("{{\"CIDRs\":{}}}", Value::Array(cidrs.to_vec())));
        errors.invalid(&path, shown, "may only hold up to 2 values");
        return;
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        canonical::check_cidr(cidr.as_str().unwrap_or_default(), &path.index(index), errors);
    }
    let mut families = cidrs.iter().filter_map(|c| c.as_str()?.parse::<IpNet>().ok()).map(|net| net.addr());
    if let (Some(one), Some(other)) = (families.next(), families.next())
        && matches!((one, other), (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)))
    {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(&path, &Value::Array(cidrs.to_vec()), detail);
    }
}
