//! What Endpoints say: which addresses are reached on which ports, as slices would say it.
//!
//! Subsets are taken apart and put together anew, as the subsets of one object may name an address several times: an
//! address belongs to one slice with all its ports, and one that is anywhere not ready on a port is not ready there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort as CorePort, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::api::ObjectMeta;

use crate::objects::meta::controller_reference;
use crate::objects::slices::{MANAGED_BY, SERVICE_NAME};

/// Us, in the label that names who manages a slice.
pub(super) const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// The most addresses of one set of ports that are mirrored.
pub(super) const MAX_ADDRESSES: usize = 1000;

/// Annotations that belong to the Endpoints alone.
const OWN: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];

/// The content of one slice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mirror {
    /// `IPv4` or `IPv6`.
    pub(super) family: &'static str,
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// All that Endpoints say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    pub(super) mirrors: Vec<Mirror>,
    /// How many addresses are none.
    pub(super) invalid: usize,
    /// How many addresses are not mirrored, whatever the reason.
    pub(super) skipped: usize,
}

/// An address: its text, and the uid of what is there.
type Identity = (String, Option<String>);
/// A port: number, name, protocol, protocol on top of it.
type Port = (i32, Option<String>, Option<String>, Option<String>);
/// The addresses of a port, by identity, and whether they are ready.
type Members = BTreeMap<Identity, bool>;

impl Desired {
    /// Reads Endpoints.
    pub(super) fn of(endpoints: &Endpoints) -> Self {
        let mut desired = Self { mirrors: Vec::new(), invalid: 0, skipped: 0 };
        let mut addresses = BTreeMap::new();
        for (members, ports) in repacked(endpoints, &mut addresses) {
            desired.add(&members, &addresses, &ports);
        }
        desired
    }

    fn add(&mut self, members: &Members, addresses: &BTreeMap<Identity, &EndpointAddress>, ports: &[Port]) {
        let ports: Vec<_> = ports.iter().filter(|port| port.0 >= 0).map(slice_port).collect();
        let mirror = |family| Mirror { family, ports: ports.clone(), endpoints: Vec::new() };
        let mut mirrors = [mirror("IPv4"), mirror("IPv6")];
        let mut added = 0;
        // Addresses that are ready come first where there are too many.
        let ordered = members.iter().filter(|(_, ready)| **ready);
        for (identity, ready) in ordered.chain(members.iter().filter(|(_, ready)| !**ready)) {
            let Some(address) = addresses.get(identity) else { continue };
            if added == MAX_ADDRESSES {
                self.skipped += 1;
            } else if let Ok(ip) = address.ip.parse::<IpAddr>() {
                added += 1;
                mirrors[usize::from(ip.is_ipv6())].endpoints.push(endpoint(address, ip, *ready));
            } else {
                self.invalid += 1;
                self.skipped += 1;
            }
        }
        self.mirrors.extend(mirrors.into_iter().filter(|mirror| !mirror.endpoints.is_empty()));
    }
}

/// The ports of each set of addresses.
fn repacked<'e>(
    endpoints: &'e Endpoints,
    addresses: &mut BTreeMap<Identity, &'e EndpointAddress>,
) -> BTreeMap<Members, Vec<Port>> {
    let mut members = BTreeMap::<Port, Members>::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<_> = match subset.ports.as_deref().unwrap_or_default() {
            // Addresses without ports are kept together by a port that is none.
            [] => vec![(-1, None, None, None)],
            ports => ports.iter().map(port).collect(),
        };
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        for (address, ready) in ready.chain(subset.not_ready_addresses.iter().flatten().map(|a| (a, false))) {
            let uid = address.target_ref.as_ref().and_then(|target| target.uid.clone());
            let identity = (address.ip.clone(), uid);
            addresses.entry(identity.clone()).or_insert(address);
            for port in &ports {
                let known = members.entry(port.clone()).or_default().entry(identity.clone()).or_insert(ready);
                *known &= ready;
            }
        }
    }
    let mut repacked = BTreeMap::<Members, Vec<Port>>::new();
    for (port, members) in members {
        repacked.entry(members).or_default().push(port);
    }
    repacked
}

fn port(port: &CorePort) -> Port {
    (port.port, port.name.clone(), port.protocol.clone(), port.app_protocol.clone())
}

fn slice_port((number, name, protocol, app_protocol): &Port) -> EndpointPort {
    EndpointPort {
        name: Some(name.clone().unwrap_or_default()),
        port: Some(*number),
        protocol: Some(protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: app_protocol.clone(),
    }
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

/// The metadata of a slice that mirrors these Endpoints, but for its name.
pub(super) fn metadata(endpoints: &Endpoints) -> ObjectMeta {
    let name = endpoints.metadata.name.clone().unwrap_or_default();
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| !OWN.contains(&name.as_str()));
    ObjectMeta {
        namespace: endpoints.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        owner_references: Some(vec![controller_reference(endpoints)]),
        ..ObjectMeta::default()
    }
}

/// A new slice.
pub(super) fn slice(endpoints: &Endpoints, mirror: &Mirror) -> EndpointSlice {
    let mut metadata = metadata(endpoints);
    metadata.generate_name = Some(format!("{}-", endpoints.metadata.name.as_deref().unwrap_or_default()));
    EndpointSlice {
        metadata,
        address_type: mirror.family.to_owned(),
        endpoints: Some(mirror.endpoints.clone()),
        ports: Some(mirror.ports.clone()).filter(|ports| !ports.is_empty()),
    }
}
