//! The IPAddress of each cluster IP: it is made, and goes, by the transaction that writes its Service.

use std::collections::BTreeSet;
use std::net::IpAddr;

use wherry_schema::Value;
use wherry_store::{Entry, Op, Precondition};

use crate::admission::kind;
use crate::codec;
use crate::error::Failure;
use crate::kinds::service::needs_ip;
use crate::object::{self, Fields};
use crate::verbs::{Beside, Cx, create, owners};

/// In whose name the server makes IPAddresses.
const MANAGER: &str = "kube-apiserver";

/// What is to be written beside an object that was `old` and becomes `new`; nothing for what is no Service.
pub(crate) fn beside(cx: &Cx<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Beside, Failure> {
    let mut beside = Beside::default();
    if !cx.is("", "Service") {
        return Ok(beside);
    }
    let (before, after) = (old.map(ips).unwrap_or_default(), new.map(ips).unwrap_or_default());
    let addresses = Cx::new(cx.state, kind("networking.k8s.io", "IPAddress"), "");
    let name = new.or(old).map(object::name).unwrap_or_default();
    for ip in after.difference(&before) {
        let key = addresses.key(&ip.to_string());
        beside.preconditions.push(Precondition::Absent { key: key.clone() });
        let encoded = addresses.encode_built_in(&address(&addresses, *ip, (cx.namespace, name))?);
        let (value, revision_at) = (encoded.bytes.clone(), Some(encoded.revision_at));
        beside.ops.push(Op::Put { key, value, revision_at });
    }
    for ip in before.difference(&after) {
        let key = addresses.key(&ip.to_string());
        let found = cx.state.store.get(&key);
        if let Some(entry) = found.filter(|entry| is_of(entry, (cx.namespace, name))) {
            let revision = entry.mod_revision;
            beside.preconditions.push(Precondition::ModRevision { key: key.clone(), revision });
            beside.ops.push(Op::Delete { key });
        }
    }
    Ok(beside)
}

/// The cluster IPs of a Service.
fn ips(service: &Value) -> BTreeSet<IpAddr> {
    if !needs_ip(service) {
        return BTreeSet::new();
    }
    service.items("spec.clusterIPs").iter().filter_map(|ip| ip.as_str()?.parse().ok()).collect()
}

fn address(cx: &Cx<'_>, ip: IpAddr, (namespace, service): (&str, &str)) -> Result<Value, Failure> {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut object = Value::from(serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": ip.to_string(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family,
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": service}},
    }));
    owners::created(cx, &mut object, MANAGER)?;
    create::prepare(cx, &mut object);
    cx.settle(&mut object)?;
    Ok(object)
}

/// Whether the stored IPAddress is of this Service, and nobody holds it up.
fn is_of(entry: &Entry, (namespace, service): (&str, &str)) -> bool {
    let Ok(object) = codec::decode(&entry.key, &entry.value) else { return false };
    let parent = |field: &str| object.text(&format!("spec.parentRef.{field}")).to_owned();
    let parent = ["group", "resource", "namespace", "name"].map(parent);
    parent == ["", "services", namespace, service] && object::finalizers(&object).is_empty()
}
