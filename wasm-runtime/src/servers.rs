//! The servers of this process, by the addresses of their pods.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::serve::Service;

/// Who listens where.
#[derive(Default)]
pub(crate) struct Servers {
    at: RwLock<HashMap<SocketAddr, Weak<Service>>>,
}

/// A server is found at these addresses until this is dropped.
pub(crate) struct Listed {
    servers: Arc<Servers>,
    addresses: Vec<SocketAddr>,
}

impl Servers {
    /// Has a server, which listens there already, be found.
    pub(crate) fn list(self: &Arc<Self>, addresses: Vec<SocketAddr>, service: &Arc<Service>) -> Listed {
        let mut at = self.at.write();
        at.extend(addresses.iter().map(|address| (*address, Arc::downgrade(service))));
        Listed { servers: Arc::clone(self), addresses }
    }

    /// The server that listens at an address.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<Arc<Service>> {
        self.at.read().get(&address)?.upgrade()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut at = self.servers.at.write();
        for address in &self.addresses {
            at.remove(address);
        }
    }
}
