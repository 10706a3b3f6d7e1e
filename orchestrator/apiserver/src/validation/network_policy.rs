//! Rules of NetworkPolicies.

use ipnet::IpNet;
use wherry_schema::Value;

use super::canonical;
use super::checks::show_list;
use super::net::check_port_or_name;
use super::template::check_label_selector;
use super::written::of_range;
use super::{Errors, Path};
use crate::object::Fields;

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];
const DIRECTIONS: &[&str] = &["Ingress", "Egress"];

/// The rules every NetworkPolicy keeps.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    if let Some(selector) = object.field("spec.podSelector") {
        check_label_selector(selector, &spec.child("podSelector"), errors);
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in object.items(&format!("spec.{direction}")).iter().enumerate() {
            let path = spec.child(direction).index(index);
            for (index, port) in rule.items("ports").iter().enumerate() {
                check_port(port, &path.child("ports").index(index), errors);
            }
            for (index, peer) in rule.items(peers).iter().enumerate() {
                check_peer(peer, &path.child(peers).index(index), errors);
            }
        }
    }
    let types = object.items("spec.policyTypes");
    let path = spec.child("policyTypes");
    if types.len() > DIRECTIONS.len() {
        let shown = show_list(object, "spec.policyTypes");
        errors.invalid(&path, shown, "may not specify more than two policyTypes");
        return;
    }
    for (index, direction) in types.iter().enumerate() {
        errors.one_of(direction.as_str().unwrap_or_default(), &path.index(index), DIRECTIONS);
    }
}

/// Ranges that are allowed and should be written in another way.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let at = Path::new("spec").child(direction);
        for (index, rule) in object.items(&format!("spec.{direction}")).iter().enumerate() {
            for (peer_index, peer) in rule.items(peers).iter().enumerate() {
                let block = at.index(index).child(peers).index(peer_index).child("ipBlock");
                warnings.extend(of_range(&block.child("cidr"), peer.text("ipBlock.cidr")));
                for (except_index, except) in peer.items("ipBlock.except").iter().enumerate() {
                    let at = block.child("except").index(except_index);
                    warnings.extend(of_range(&at, except.as_str().unwrap_or_default()));
                }
            }
        }
    }
    warnings
}

fn check_port(port: &Value, path: &Path, errors: &mut Errors) {
    if let Some(protocol) = port.field("protocol").and_then(Value::as_str) {
        errors.one_of(protocol, &path.child("protocol"), PROTOCOLS);
    }
    let (end, at) = (port.int("endPort"), path.child("endPort"));
    let Some(number) = port.field("port") else {
        if let Some(end) = end {
            errors.invalid(&at, end, "may not be specified when `port` is not specified");
        }
        return;
    };
    if let (Some(end), None) = (end, number.as_i64()) {
        errors.invalid(&at, end, "may not be specified when `port` is non-numeric");
    }
    check_port_or_name(number, &path.child("port"), errors);
    if let (Some(end), Some(start)) = (end, number.as_i64()) {
        if end < start {
            errors.invalid(&at, end, "must be greater than or equal to `port`");
        }
        errors.within(end, (1, 65_535), &at);
    }
}

fn check_peer(peer: &Value, path: &Path, errors: &mut Errors) {
    let mut peers = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = peer.field(name) {
            peers += 1;
            check_label_selector(selector, &path.child(name), errors);
        }
    }
    let block = peer.field("ipBlock");
    if let Some(block) = block {
        peers += 1;
        check_block(block, &path.child("ipBlock"), errors);
    }
    if peers == 0 {
        errors.required(path, "must specify a peer");
    } else if peers > 1 && block.is_some() {
        errors.forbidden(path, "may not specify both ipBlock and another peer");
    }
}

fn check_block(block: &Value, path: &Path, errors: &mut Errors) {
    let cidr = block.text("cidr");
    if cidr.is_empty() {
        errors.required(&path.child("cidr"), "");
        return;
    }
    canonical::check_range(cidr, &path.child("cidr"), errors);
    let Ok(whole) = cidr.parse::<IpNet>() else { return };
    for (index, except) in block.items("except").iter().enumerate() {
        let (text, path) = (except.as_str().unwrap_or_default(), path.child("except").index(index));
        canonical::check_range(text, &path, errors);
        let Ok(part) = text.parse::<IpNet>() else { continue };
        if !whole.contains(&part.addr()) || whole.prefix_len() >= part.prefix_len() {
            errors.invalid(&path, text, "must be a strict subset of `cidr`");
        }
    }
}
