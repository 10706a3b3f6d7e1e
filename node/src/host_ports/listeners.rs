//! The part without privileges: this process listens at the ports and copies bytes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::{HostPort, HostPortError};
use crate::network::Protocol;
use crate::services::{Connections, Listener, Route};

/// See the module.
pub(super) struct Listeners {
    node: IpAddr,
    /// The listeners of each Pod.
    open: BTreeMap<String, BTreeMap<SocketAddr, Listener>>,
    connections: Connections,
}

impl Listeners {
    /// Listens at this address, unless a port names another.
    pub(super) fn new(node: IpAddr) -> Self {
        Self { node, open: BTreeMap::new(), connections: Connections::default() }
    }

    /// See `HostPorts`.
    pub(super) async fn lead(
        &mut self,
        pod_uid: &str,
        ip: IpAddr,
        ports: &[HostPort],
    ) -> Result<(), HostPortError> {
        let mut before = self.open.remove(pod_uid).unwrap_or_default();
        let mut now = BTreeMap::new();
        for port in ports {
            if port.protocol == Protocol::Udp {
                return Err(HostPortError::Datagrams { port: port.number });
            }
            let address = SocketAddr::new(port.address.unwrap_or(self.node), port.number);
            let route = Route { backends: vec![SocketAddr::new(ip, port.to)], affinity: None, sources: None };
            let listener = match before.remove(&address) {
                Some(listener) => {
                    listener.change(route);
                    listener
                }
                None => Listener::bind(address, route, &self.connections)
                    .await
                    .map_err(|source| HostPortError::Listen { address, source })?,
            };
            now.insert(address, listener);
        }
        if !now.is_empty() {
            self.open.insert(pod_uid.to_owned(), now);
        }
        Ok(())
    }

    /// See `HostPorts`.
    pub(super) fn withdraw(&mut self, pod_uid: &str) {
        self.open.remove(pod_uid);
    }

    /// Stops listening, and ends the connections that do not end soon.
    pub(super) async fn close(&mut self) {
        self.open.clear();
        self.connections.close().await;
    }
}
