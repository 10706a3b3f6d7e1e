//! Which UDP flows through a Service are stale. Pure.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::plan::ServicePort;
use crate::network::conntrack::Flow;

/// A UDP port of a Service and where its flows may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UdpService {
    cluster_ips: Vec<Ipv4Addr>,
    port: u16,
    node_port: Option<u16>,
    backends: Vec<SocketAddrV4>,
}

impl UdpService {
    /// From what is planned.
    pub(super) fn of(port: &ServicePort) -> Self {
        let backends = port.cluster.iter().chain(&port.local).copied().collect();
        let (cluster_ips, node_port) = (port.cluster_ips.clone(), port.node_port);
        Self { cluster_ips, port: port.port, node_port, backends }
    }

    /// The same port when it is served no longer.
    pub(super) fn without_backends(mut self) -> Self {
        self.backends.clear();
        self
    }

    /// Whether both are reached in the same way.
    pub(super) fn same_front(&self, other: &Self) -> bool {
        (&self.cluster_ips, self.port, self.node_port) == (&other.cluster_ips, other.port, other.node_port)
    }

    /// Whether the flow goes to this port, and to an endpoint that is not one of it.
    pub(super) fn is_stale(&self, flow: &Flow) -> bool {
        let to = flow.destination;
        let by_cluster_ip = to.port() == self.port && self.cluster_ips.contains(to.ip());
        // A flow to another machine's port of that number is not ours: it is answered by whom it was sent to.
        let by_node_port = self.node_port == Some(to.port()) && flow.answered_by != to;
        (by_cluster_ip || by_node_port) && !self.backends.contains(&flow.answered_by)
    }
}
