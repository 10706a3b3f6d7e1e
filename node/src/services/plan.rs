//! Decides which endpoints serve each port of a Service. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use wherry_api::ranges::IpFamily;

use super::model::{Endpoint, Port, Scope, Service, Slice};
use crate::network::Protocol;

/// One port of a Service in one family, as a data plane has to serve it: all its addresses are of that family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServicePort {
    pub(super) family: IpFamily,
    /// The port's name, empty for the only port of a Service.
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) cluster_ips: Vec<IpAddr>,
    /// Addresses of the outside that lead here, but for those that other Services have.
    pub(super) external_ips: Vec<IpAddr>,
    /// The same of the load balancer.
    pub(super) balancer_ips: Vec<IpAddr>,
    /// Whom the load balancer lets in; everybody, where nothing is said.
    pub(super) sources: Option<Vec<IpNet>>,
    pub(super) port: u16,
    pub(super) node_port: Option<u16>,
    /// How long a client stays with its endpoint, in seconds.
    pub(super) affinity: Option<u32>,
    /// What traffic to a ClusterIP may use.
    pub(super) internal: Scope,
    /// What traffic from outside may use: to a NodePort, an external address or the load balancer.
    pub(super) external: Scope,
    /// Every endpoint that new connections may go to, in order.
    pub(super) cluster: Vec<SocketAddr>,
    /// The same among those of this node.
    pub(super) local: Vec<SocketAddr>,
}

impl ServicePort {
    /// The endpoints for traffic of that scope.
    pub(super) fn backends(&self, scope: Scope) -> &[SocketAddr] {
        match scope {
            Scope::Cluster => &self.cluster,
            Scope::Local => &self.local,
        }
    }

    /// Whether it is reached in other ways than by its ClusterIP.
    pub(super) fn is_exposed(&self) -> bool {
        self.node_port.is_some() || !self.external_ips.is_empty() || !self.balancer_ips.is_empty()
    }
}

/// Where this node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: String,
    pub(super) zone: Option<String>,
}

/// The ports of a Service, in each family it has a ClusterIP of, with the endpoints its slices name. `has` says whether an address of the outside is the
/// Service's at this port.
pub(super) fn plan(
    service: &Service,
    slices: &[&Slice],
    here: &Place,
    has: impl Fn(IpAddr, &Port) -> bool,
) -> Vec<ServicePort> {
    let families: BTreeSet<IpFamily> = service.cluster_ips.iter().copied().map(IpFamily::of).collect();
    let ports = families.iter().flat_map(|family| service.ports.iter().map(move |port| (*family, port)));
    let ports = ports.map(|(family, port)| {
        let mut candidates = candidates(slices, &port.name, port.protocol);
        candidates.retain(|(address, _)| IpFamily::of(address.ip()) == family);
        let mut local = candidates.clone();
        local.retain(|(_, endpoint)| endpoint.is_on(&here.node));
        let of_family = |ip: &IpAddr| IpFamily::of(*ip) == family;
        let own = |ips: &[IpAddr]| ips.iter().copied().filter(|ip| of_family(ip) && has(*ip, port)).collect();
        // Ranges of the other family let nobody of this one in.
        let admitted =
            |ranges: &Vec<IpNet>| ranges.iter().copied().filter(|range| of_family(&range.addr())).collect();
        ServicePort {
            family,
            name: port.name.clone(),
            protocol: port.protocol,
            cluster_ips: service.cluster_ips.iter().copied().filter(of_family).collect(),
            external_ips: own(&service.external_ips),
            balancer_ips: own(&service.balancer_ips),
            sources: service.sources.as_ref().map(admitted),
            port: port.number,
            node_port: port.on_node,
            affinity: service.affinity,
            internal: service.internal,
            external: service.external,
            cluster: choose(&near(&candidates, here)),
            local: choose(&local),
        }
    });
    ports.collect()
}

/// How many ready endpoints the Service has on the node.
pub(super) fn ready_on(slices: &[&Slice], node: &str) -> usize {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let ready = endpoints.filter(|endpoint| endpoint.ready && endpoint.is_on(node));
    let ips: BTreeSet<IpAddr> = ready.map(|endpoint| endpoint.ip).collect();
    // An endpoint with addresses of both families is one.
    let of = |family| ips.iter().filter(|ip| IpFamily::of(**ip) == family).count();
    of(IpFamily::V4).max(of(IpFamily::V6))
}

type Candidate<'a> = (SocketAddr, &'a Endpoint);

fn candidates<'a>(slices: &[&'a Slice], name: &str, protocol: Protocol) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().filter(|port| port.name == name && port.protocol == protocol);
        for port in ports {
            let addressed =
                slice.endpoints.iter().map(|endpoint| (SocketAddr::new(endpoint.ip, port.port), endpoint));
            found.extend(addressed);
        }
    }
    found
}

/// Those that clients of this node, else of its zone, should use. Hints count only where every ready endpoint has some, so
/// that no endpoint is forgotten by all, and where one is for this place.
fn near<'a>(candidates: &[Candidate<'a>], here: &Place) -> Vec<Candidate<'a>> {
    let ready: Vec<Candidate<'a>> =
        candidates.iter().copied().filter(|(_, endpoint)| endpoint.ready).collect();
    let hinted = |hints: fn(&Endpoint) -> &BTreeSet<String>, place: &str| {
        let meant: Vec<_> =
            ready.iter().copied().filter(|(_, endpoint)| hints(endpoint).contains(place)).collect();
        let all_have_some = ready.iter().all(|(_, endpoint)| !hints(endpoint).is_empty());
        (all_have_some && !meant.is_empty()).then_some(meant)
    };
    hinted(|endpoint| &endpoint.for_nodes, &here.node)
        .or_else(|| hinted(|endpoint| &endpoint.for_zones, here.zone.as_deref()?))
        .unwrap_or_else(|| candidates.to_vec())
}

/// The ready ones; when there are none, those that still answer while they end.
fn choose(candidates: &[Candidate<'_>]) -> Vec<SocketAddr> {
    let those = |wanted: fn(&Endpoint) -> bool| -> BTreeSet<SocketAddr> {
        candidates.iter().filter(|(_, endpoint)| wanted(endpoint)).map(|(address, _)| *address).collect()
    };
    let ready = those(|endpoint| endpoint.ready);
    let chosen = if ready.is_empty() { those(|endpoint| endpoint.winding_down) } else { ready };
    chosen.into_iter().collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
