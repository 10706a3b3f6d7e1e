//! What names need of Services and EndpointSlices, parsed once when an object arrives.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use wherry_dns::{Endpoint, Face, Key, Port, Service, Slice};

use crate::services::{ObjectKey, service_of};

impl From<&ObjectKey> for Key {
    fn from(key: &ObjectKey) -> Self {
        Self { namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

/// `None` for a Service that waits for its address.
pub(super) fn service(object: &core::Service) -> Option<Service> {
    let spec = object.spec.as_ref()?;
    let ports = spec.ports.iter().flatten();
    let ports = ports.filter_map(|given| port(given.name.as_deref(), given.protocol.as_deref(), given.port));
    Some(Service { face: face(spec)?, ports: ports.collect() })
}

fn face(spec: &core::ServiceSpec) -> Option<Face> {
    if spec.type_.as_deref() == Some("ExternalName") {
        return spec.external_name.clone().map(Face::Alias);
    }
    let first = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty())?;
    if first == "None" {
        return Some(Face::Headless);
    }
    let listed = spec.cluster_ips.iter().flatten().map(String::as_str).chain([first]);
    let mut ips: Vec<IpAddr> = listed.filter_map(|ip| ip.parse().ok()).collect();
    ips.sort_unstable();
    ips.dedup();
    Some(Face::Cluster(ips))
}

/// `None` for a slice that belongs to no Service, or of names instead of addresses.
pub(super) fn slice(object: &discovery::EndpointSlice) -> Option<Slice> {
    let ports = object.ports.iter().flatten();
    let ports = ports.filter_map(|given| port(given.name.as_deref(), given.protocol.as_deref(), given.port?));
    let endpoints: Vec<Endpoint> = object.endpoints.iter().flatten().filter_map(endpoint).collect();
    let service = service_of(object)?;
    let usable = object.address_type != "FQDN";
    usable.then(|| Slice { service: (&service).into(), ports: ports.collect(), endpoints })
}

/// Only what is ready has a name; the controller says that all is where a Service publishes what is not.
fn endpoint(object: &discovery::Endpoint) -> Option<Endpoint> {
    let ready = object.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
    let hostname = object.hostname.clone().filter(|name| !name.is_empty());
    let ip = object.addresses.first()?.parse().ok()?;
    ready.then_some(Endpoint { ip, hostname })
}

fn port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Option<Port> {
    Some(Port {
        name: name.unwrap_or_default().to_owned(),
        protocol: protocol.unwrap_or("TCP").to_ascii_lowercase(),
        number: u16::try_from(number).ok()?,
    })
}
