//! The data plane without privileges: listeners on ClusterIPs and NodePorts, and bytes copied by this process.
//!
//! - Of external addresses and of those of load balancers, which are anybody's, the node's own and those of loopback are listened
//!   on.
//! - A port without endpoints is not listened on, so that a client is refused as it is in the kernel's plane.
//! - Endpoints take turns; an endpoint that refuses is passed over for the next one.
//! - Established connections keep their endpoint whatever changes.
//! - UDP is not served; that is logged once per Service.

mod listener;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use wherry_api::ranges::IpFamily;

use super::model::{ObjectKey, Scope};
use super::plan::ServicePort;
use crate::network::Protocol;
pub(crate) use listener::{Connections, Listener, Route};

/// See the module.
pub(super) struct Proxy {
    node_address: IpAddr,
    wanted: BTreeMap<ObjectKey, Vec<ServicePort>>,
    listeners: BTreeMap<SocketAddr, Listener>,
    /// Addresses that could not be listened on.
    failed: BTreeSet<SocketAddr>,
    connections: Connections,
}

impl Proxy {
    /// A proxy with NodePorts on that address.
    pub(super) fn new(node_address: IpAddr) -> Self {
        Self {
            node_address,
            wanted: BTreeMap::new(),
            listeners: BTreeMap::new(),
            failed: BTreeSet::new(),
            connections: Connections::default(),
        }
    }

    /// See `Dataplane`.
    pub(super) async fn apply(&mut self, changes: BTreeMap<ObjectKey, Vec<ServicePort>>) {
        for (key, ports) in changes {
            let is_lost = |port: &ServicePort| port.protocol == Protocol::Udp && !port.cluster.is_empty();
            if ports.iter().any(is_lost) && !self.wanted.contains_key(&key) {
                tracing::warn!(service = %key, "UDP ports of Services need --network bridge and are not served");
            }
            if ports.is_empty() {
                self.wanted.remove(&key);
            } else {
                self.wanted.insert(key, ports);
            }
        }
        let routes = self.routes();
        self.listeners.retain(|address, _| routes.contains_key(address));
        self.failed.retain(|address| routes.contains_key(address));
        for (address, route) in routes {
            self.serve(address, route).await;
        }
    }

    async fn serve(&mut self, address: SocketAddr, route: Route) {
        if let Some(listener) = self.listeners.get(&address) {
            listener.change(route);
            return;
        }
        match Listener::bind(address, route, &self.connections).await {
            Ok(listener) => {
                self.listeners.insert(address, listener);
                self.failed.remove(&address);
            }
            Err(error) if self.failed.insert(address) => {
                tracing::warn!(%address, %error, "cannot listen for a Service; trying until that works");
            }
            Err(_) => {}
        }
    }

    /// See `Dataplane`.
    pub(super) fn wants_retry(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Stops listening, and ends the connections that do not end soon.
    pub(super) async fn close(mut self) {
        self.listeners.clear();
        self.connections.close().await;
    }

    /// Every address to listen on. There is one node, so all endpoints are local.
    fn routes(&self) -> BTreeMap<SocketAddr, Route> {
        let mut routes = BTreeMap::new();
        for port in self.wanted.values().flatten().filter(|port| port.protocol == Protocol::Tcp) {
            let mut add = |ip: IpAddr, number: u16, scope: Scope, sources: Option<&Vec<IpNet>>| {
                let backends = port.backends(scope).to_vec();
                if !backends.is_empty() {
                    let route = Route { backends, affinity: port.affinity, sources: sources.cloned() };
                    routes.insert(SocketAddr::new(ip, number), route);
                }
            };
            let own = |ip: &&IpAddr| ip.is_loopback() || self.node_address == **ip;
            for ip in port.external_ips.iter().filter(own) {
                add(*ip, port.port, port.external, None);
            }
            for ip in port.balancer_ips.iter().filter(own) {
                add(*ip, port.port, port.external, port.sources.as_ref());
            }
            for ip in &port.cluster_ips {
                add(*ip, port.port, port.internal, None);
            }
            let on_node = port.node_port.filter(|_| IpFamily::of(self.node_address) == port.family);
            if let Some(node_port) = on_node {
                add(self.node_address, node_port, port.external, None);
            }
        }
        routes
    }
}

#[cfg(test)]
mod tests;
