//! Where ClusterIPs lead, for those of this process who make no connection that a data plane could lead: the endpoints that the data
//! plane has, in turns, with the same affinity.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::affinity::Clients;
use super::model::ObjectKey;
use super::plan::ServicePort;
use crate::network::Protocol;

/// The ClusterIPs; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Leads(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    pools: HashMap<SocketAddr, Pool>,
    /// The addresses of each Service.
    fronts: BTreeMap<ObjectKey, Vec<SocketAddr>>,
}

/// The endpoints behind one address, of which there is one at least.
struct Pool {
    endpoints: Vec<SocketAddr>,
    affinity: Option<u32>,
    clients: Arc<Clients>,
    turn: AtomicUsize,
}

impl Leads {
    /// The endpoint that a client is to connect to in place of an address, if that is a Service's that has one.
    pub(crate) fn endpoint(&self, client: IpAddr, address: SocketAddr) -> Option<SocketAddr> {
        self.0.read().pools.get(&address).map(|pool| pool.choose(client))
    }

    /// These Services have these ports from now on; the others stay as they are.
    pub(super) fn apply(&self, changes: &BTreeMap<ObjectKey, Vec<ServicePort>>) {
        let mut known = self.0.write();
        // An address may move from one Service to another.
        let mut before = HashMap::new();
        for key in changes.keys() {
            for front in known.fronts.remove(key).unwrap_or_default() {
                before.extend(known.pools.remove(&front).map(|pool| (front, pool.clients)));
            }
        }
        for (key, ports) in changes {
            let mut fronts = Vec::new();
            for (front, port) in ports.iter().flat_map(served) {
                let pool = Pool {
                    endpoints: port.backends(port.internal).to_vec(),
                    affinity: port.affinity,
                    clients: before.remove(&front).unwrap_or_default(),
                    turn: AtomicUsize::default(),
                };
                known.pools.insert(front, pool);
                fronts.push(front);
            }
            if !fronts.is_empty() {
                known.fronts.insert(key.clone(), fronts);
            }
        }
    }
}

/// The addresses of a port that lead to endpoints.
fn served(port: &ServicePort) -> impl Iterator<Item = (SocketAddr, &ServicePort)> {
    let leads = port.protocol == Protocol::Tcp && !port.backends(port.internal).is_empty();
    let ips = port.cluster_ips.iter().filter(move |_| leads);
    ips.map(move |ip| (SocketAddr::new(*ip, port.port), port))
}

impl Pool {
    fn choose(&self, client: IpAddr) -> SocketAddr {
        let kept = self.affinity.and_then(|_| self.clients.endpoint(client, &self.endpoints));
        let endpoint = kept.unwrap_or_else(|| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            self.endpoints[turn % self.endpoints.len()]
        });
        if let Some(seconds) = self.affinity {
            self.clients.remember(client, endpoint, seconds);
        }
        endpoint
    }
}

#[cfg(test)]
#[path = "leads_tests.rs"]
mod tests;
