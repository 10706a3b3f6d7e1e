//! Services on this node: what is sent to a ClusterIP, a NodePort, an external address or a load balancer's reaches an endpoint.
//!
//! Flow: `watch` (Services, EndpointSlices, this node) -> `world` (what is known, which Services changed) -> `plan`
//! (pure: the endpoints of each port) -> a data plane, which applies only what differs:
//! - bridge mode: `nftables`, one transaction per batch of changes; the kernel does the rest;
//! - loopback mode: `proxy`, listeners in this process;
//! - `leads`, in both: requests of wasm guests to others of this process, which need no connection.
//!
//! Load balancers ask the node how it stands with a Service (`health`). The same events then go to the names of Services and
//! endpoints (`dns`).
//!
//! A change is applied at once; what is already queued behind it goes into the same batch. Rules of an earlier
//! run stay in force until both lists are complete, and stay when the agent ends.

mod affinity;
mod dataplane;
mod fronts;
mod health;
mod leads;
mod model;
mod nftables;
mod plan;
mod proxy;
mod replica;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod six_tests;
mod sync_times;
#[cfg(test)]
mod tests;
mod watch;
mod world;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kube::Client;
use tokio_util::sync::CancellationToken;
use wherry_api::ranges::{IpFamily, Ranges};

use crate::dns::Feed;
use crate::network::{NetworkError, NetworkMode};
use dataplane::Dataplane;
use health::HealthChecks;
pub(crate) use leads::Leads;
pub(crate) use model::{ObjectKey, service_of};
pub(crate) use proxy::{Connections, Listener, Route};
pub(crate) use replica::Replica;
pub(crate) use sync_times::{Counted, SyncTimes, limit};
use watch::Told;

/// What serving the Services of this node needs to know.
#[derive(Clone, Debug)]
pub struct ServicesConfig {
    /// Which data plane.
    pub mode: NetworkMode,
    /// This node's name, to tell local endpoints.
    pub node_name: String,
    /// The addresses of this node's Pods.
    pub pod_cidr: Ranges,
    /// The addresses of all Pods.
    pub cluster_cidr: Ranges,
    /// The ClusterIPs.
    pub service_cidr: Ranges,
    /// Those of them that belong to this node, at which it answers for the cluster's names.
    pub dns: Vec<IpAddr>,
    /// Where NodePorts listen in loopback mode. In bridge mode they are on every address of the node.
    pub node_port_address: IpAddr,
}

/// Why Services cannot be served at all. What fails later is logged and tried again.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// The node's network is not as it must be.
    #[error("cannot lead Service addresses to this node")]
    Network(#[source] NetworkError),
}

/// Serves the Services of this node until `shutdown`, tells their names, and counts how long that took.
pub(crate) async fn run(
    client: Client,
    config: ServicesConfig,
    (names, syncs, leads): (Feed, SyncTimes, Leads),
    shutdown: CancellationToken,
) -> Result<(), ServicesError> {
    let dataplane = Dataplane::open(&config).await?;
    let health = HealthChecks::new(match config.mode {
        // One socket of IPv6 hears both families.
        NetworkMode::Bridge if config.pod_cidr.of(IpFamily::V6).is_some() => Ipv6Addr::UNSPECIFIED.into(),
        NetworkMode::Bridge => Ipv4Addr::UNSPECIFIED.into(),
        NetworkMode::Loopback => config.node_port_address,
    });
    watch::serve(client, &config.node_name, Told { dataplane, health, names, syncs, leads }, shutdown).await;
    Ok(())
}
