//! Which UDP flows through a Service are stale. Pure.

use std::net::{IpAddr, SocketAddr};

use wherry_api::ranges::IpFamily;

use super::super::plan::ServicePort;
use crate::network::conntrack::Flow;

/// A UDP port of a Service and where its flows may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UdpService {
    family: IpFamily,
    /// The addresses at which it has its own port.
    ips: Vec<IpAddr>,
    port: u16,
    node_port: Option<u16>,
    backends: Vec<SocketAddr>,
}

impl UdpService {
    /// From what is planned.
    pub(super) fn of(port: &ServicePort) -> Self {
        let backends = port.cluster.iter().chain(&port.local).copied().collect();
        let ips = port.cluster_ips.iter().chain(&port.external_ips).chain(&port.balancer_ips);
        Self {
            family: port.family,
            ips: ips.copied().collect(),
            port: port.port,
            node_port: port.node_port,
            backends,
        }
    }

    /// The same port when it is served no longer.
    pub(super) fn without_backends(mut self) -> Self {
        self.backends.clear();
        self
    }

    /// Whether both are reached in the same way.
    pub(super) fn same_front(&self, other: &Self) -> bool {
        let front = |of: &Self| (of.family, of.port, of.node_port);
        front(self) == front(other) && self.ips == other.ips
    }

    /// Whether the flow goes to this port, and to an endpoint that is not one of it.
    pub(super) fn is_stale(&self, flow: &Flow) -> bool {
        let to = flow.destination;
        let by_address = to.port() == self.port && self.ips.contains(&to.ip());
        // A flow to another machine's port of that number is not ours: it is answered by whom it was sent to.
        let of_family = IpFamily::of(to.ip()) == self.family;
        let by_node_port = of_family && self.node_port == Some(to.port()) && flow.answered_by != to;
        (by_address || by_node_port) && !self.backends.contains(&flow.answered_by)
    }
}
