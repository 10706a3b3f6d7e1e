//! What NetworkPolicies say of a connection: read from the objects in the plainest way, by nobody of the product.

use std::net::IpAddr;

use serde_json::Value;

/// One end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) namespace: &'static str,
    pub(super) kind: &'static str,
    /// Of IPv4, then of IPv6.
    pub(super) ips: [IpAddr; 2],
    /// The ports that have names.
    pub(super) named: Vec<(&'static str, u16)>,
}

/// A policy of a namespace, by what its `spec` says.
pub(super) type Policy = (&'static str, Value);

/// Whether they let this Pod connect to that port of the other by this family.
pub(super) fn let_through(policies: &[Policy], from: &Pod, to: &Pod, (port, family): (u16, usize)) -> bool {
    let judged = |pod: &Pod, direction: &str, rules: &str, peers: &str, peer: &Pod| {
        let about: Vec<_> = policies.iter().filter(|policy| is_about(policy, pod, direction)).collect();
        let lets = |(namespace, spec): &&Policy| {
            list(&spec[rules]).iter().any(|rule| {
                let (peers, ports) = (&rule[peers], &rule["ports"]);
                (peers.is_null() || list(peers).iter().any(|one| is_meant(one, namespace, peer, family)))
                    && (ports.is_null() || list(ports).iter().any(|one| is_at(one, to, port)))
            })
        };
        about.is_empty() || about.iter().any(lets)
    };
    // Nobody is kept from itself.
    from.ips == to.ips
        || judged(from, "Egress", "egress", "to", to) && judged(to, "Ingress", "ingress", "from", from)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_about((namespace, spec): &Policy, pod: &Pod, direction: &str) -> bool {
    *namespace == pod.namespace
        && list(&spec["policyTypes"]).iter().any(|of| of == direction)
        && selects(&spec["podSelector"], "kind", pod.kind)
}

fn is_meant(peer: &Value, namespace: &str, pod: &Pod, family: usize) -> bool {
    let block = &peer["ipBlock"];
    if !block.is_null() {
        let ip = pod.ips[family];
        return is_within(&block["cidr"], ip) && !list(&block["except"]).iter().any(|one| is_within(one, ip));
    }
    let of_namespace = match &peer["namespaceSelector"] {
        Value::Null => pod.namespace == namespace,
        selector => selects(selector, "color", pod.namespace),
    };
    of_namespace && (peer["podSelector"].is_null() || selects(&peer["podSelector"], "kind", pod.kind))
}

fn is_at(wanted: &Value, to: &Pod, port: u16) -> bool {
    let is_tcp = wanted["protocol"].is_null() || wanted["protocol"] == "TCP";
    let is_number = match (&wanted["port"], wanted["endPort"].as_u64()) {
        (Value::Null, _) => true,
        (Value::String(name), _) => to.named.contains(&(name.as_str(), port)),
        (first, last) => {
            let first = first.as_u64().expect("a port is a name or a number");
            (first..=last.unwrap_or(first)).contains(&port.into())
        }
    };
    is_tcp && is_number
}

/// Whether a selector picks what has this one label.
fn selects(selector: &Value, key: &str, value: &str) -> bool {
    let mut by_labels = selector["matchLabels"].as_object().into_iter().flatten();
    by_labels.all(|(name, wanted)| name == key && wanted == value)
        && list(&selector["matchExpressions"]).iter().all(|one| expressed(one, key, value))
}

fn expressed(one: &Value, key: &str, value: &str) -> bool {
    let is_listed = one["key"] == key && list(&one["values"]).iter().any(|wanted| wanted == value);
    match one["operator"].as_str() {
        Some("In") => is_listed,
        Some("NotIn") => !is_listed,
        other => panic!("{other:?} is no operator of these tests"),
    }
}

fn is_within(cidr: &Value, ip: IpAddr) -> bool {
    let (base, length) = cidr.as_str().and_then(|text| text.split_once('/')).expect("a block is a CIDR");
    let length: u32 = length.parse().expect("a length is a number");
    match (base.parse().expect("a block has an address"), ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => (base.to_bits() ^ ip.to_bits()).leading_zeros() >= length,
        (IpAddr::V6(base), IpAddr::V6(ip)) => (base.to_bits() ^ ip.to_bits()).leading_zeros() >= length,
        _ => false,
    }
}
