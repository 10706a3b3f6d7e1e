//! Decides which endpoints serve each port of a Service. Pure.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::model::{Endpoint, Scope, Service, Slice};
use crate::network::Protocol;

/// One port of a Service, as a data plane has to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServicePort {
    /// The port's name, empty for the only port of a Service.
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) cluster_ips: Vec<Ipv4Addr>,
    pub(super) port: u16,
    pub(super) node_port: Option<u16>,
    /// How long a client stays with its endpoint, in seconds.
    pub(super) affinity: Option<u32>,
    /// What traffic to a ClusterIP may use.
    pub(super) internal: Scope,
    /// What traffic to a NodePort may use.
    pub(super) external: Scope,
    /// Every endpoint that new connections may go to, in order.
    pub(super) cluster: Vec<SocketAddrV4>,
    /// The same among those of this node.
    pub(super) local: Vec<SocketAddrV4>,
}

impl ServicePort {
    /// The endpoints for traffic of that scope.
    pub(super) fn backends(&self, scope: Scope) -> &[SocketAddrV4] {
        match scope {
            Scope::Cluster => &self.cluster,
            Scope::Local => &self.local,
        }
    }
}

/// The ports of a Service with the endpoints its slices name, on the node of that name.
pub(super) fn plan(service: &Service, slices: &[&Slice], node: &str) -> Vec<ServicePort> {
    let ports = service.ports.iter().map(|port| {
        let candidates = candidates(slices, &port.name, port.protocol);
        let mut here = candidates.clone();
        here.retain(|(_, endpoint)| endpoint.node.as_deref() == Some(node));
        ServicePort {
            name: port.name.clone(),
            protocol: port.protocol,
            cluster_ips: service.cluster_ips.clone(),
            port: port.number,
            node_port: port.on_node,
            affinity: service.affinity,
            internal: service.internal,
            external: service.external,
            cluster: choose(&candidates),
            local: choose(&here),
        }
    });
    ports.collect()
}

fn candidates<'a>(slices: &[&'a Slice], name: &str, protocol: Protocol) -> Vec<(SocketAddrV4, &'a Endpoint)> {
    let mut found = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().filter(|port| port.name == name && port.protocol == protocol);
        for port in ports {
            let addressed =
                slice.endpoints.iter().map(|endpoint| (SocketAddrV4::new(endpoint.ip, port.port), endpoint));
            found.extend(addressed);
        }
    }
    found
}

/// The ready ones; when there are none, those that still answer while they end.
fn choose(candidates: &[(SocketAddrV4, &Endpoint)]) -> Vec<SocketAddrV4> {
    let those = |wanted: fn(&Endpoint) -> bool| -> BTreeSet<SocketAddrV4> {
        candidates.iter().filter(|(_, endpoint)| wanted(endpoint)).map(|(address, _)| *address).collect()
    };
    let ready = those(|endpoint| endpoint.ready);
    let chosen = if ready.is_empty() { those(|endpoint| endpoint.winding_down) } else { ready };
    chosen.into_iter().collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
