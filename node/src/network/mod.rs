//! Pod networks: every Pod gets an address, and a Pod that needs one gets a network namespace.
//!
//! Two networks of our own implement [`PodNetwork`]:
//!
//! | | [`NetworkMode::Bridge`] | [`NetworkMode::Loopback`] |
//! |---|---|---|
//! | needs | root, nftables | nothing |
//! | Pods with a network namespace | a veth pair on the bridge `wherry0` | refused |
//! | wasm-only Pods | local addresses of the node | loopback addresses |
//!
//! In bridge mode the node's pod CIDR is split. The lower half belongs to Pods with a network namespace, its
//! first address to the bridge; the upper half is a local route, so a process of the node binds a Pod's
//! address like any of its own. Every packet of a Pod is routed by the node, also between two Pods of one
//! bridge, so that the translation of Service addresses is always undone on the way back.
//!
//! A Pod may have an IPv6 address beside, by the same rules: it follows from the IPv4 one (`layout`).
//!
//! Where the operator has a network of plugins (`cni`), these do all of this instead, and every Pod has a namespace.
//!
//! Everything happens in the network namespace the node agent runs in. Which addresses are taken is written
//! down before an address is handed out (`ipam`), so a killed agent finds its Pods again.
//!
//! Pods of other nodes are reached by routes (`peers`).
//!
//! Reading order: `layout`, `ipam`, `loopback`, `bridge`, `namespace`, `netlink`, `bandwidth`, `nft`, `conntrack`, `peers`, `cni`.

mod bandwidth;
mod bridge;
mod cni;
pub(crate) mod conntrack;
mod error;
mod ipam;
mod layout;
mod loopback;
mod namespace;
mod netlink;
pub(crate) mod nft;
pub(crate) mod peers;
mod protocol;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod turns;

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;
use wherry_api::ranges::Ranges;

pub use bandwidth::{Bandwidth, BandwidthError};
pub(crate) use bridge::{host_interface, own_address, route_services};
pub use cni::CniDirectories;
pub(crate) use cni::{CniNetwork, Told};
pub use error::NetworkError;
pub(crate) use layout::Layout;
pub(crate) use protocol::Protocol;

/// How Pods of this node are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// A bridge, network namespaces and nftables; needs root.
    Bridge,
    /// Loopback addresses only; needs no privilege and runs wasm-only Pods.
    Loopback,
}

/// What a Pod network is opened with.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Which network.
    pub mode: NetworkMode,
    /// The addresses of this node's Pods.
    pub pod_cidr: Ranges,
    /// The addresses of all Pods of the cluster: traffic that leaves it gets the node's address.
    pub cluster_cidr: Ranges,
    /// The addresses of Services, which never mean the node itself.
    pub service_cidr: Ranges,
    /// Where the journal of addresses and the namespaces' mount points live, in a folder `network`.
    pub data_dir: PathBuf,
    /// Where plugins are that make the network instead, in bridge mode.
    pub cni: Option<CniDirectories>,
}

/// What a Pod has of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodAddress {
    /// The Pod's address.
    pub ip: IpAddr,
    /// Its address of IPv6, where Pods have both.
    pub ip6: Option<Ipv6Addr>,
    /// The path of its network namespace; without one the Pod's address is the node's own.
    pub netns: Option<PathBuf>,
}

impl PodAddress {
    /// All addresses of the Pod, the one that counts where only one is asked for first.
    pub fn ips(&self) -> Vec<IpAddr> {
        [Some(self.ip), self.ip6.map(IpAddr::V6)].into_iter().flatten().collect()
    }
}

/// Gives Pods their addresses. Every call is idempotent.
#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// Connects a Pod, or finds what it already has (and repairs what is missing of it).
    async fn attach(&self, pod_uid: &str, needs_netns: bool) -> Result<PodAddress, NetworkError>;

    /// As [`PodNetwork::attach`], of a Pod whose network namespace somebody made, unless it has one by now.
    async fn attach_made(&self, pod_uid: &str, made: &Path) -> Result<PodAddress, NetworkError>;

    /// Holds a Pod that is connected to these rates. One without a network namespace has nothing that could be held.
    async fn limit(&self, pod_uid: &str, bandwidth: Bandwidth) -> Result<(), NetworkError> {
        let _ = (pod_uid, bandwidth);
        Ok(())
    }

    /// Disconnects a Pod and gives its address back; a Pod nobody knows is no error.
    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError>;

    /// The network namespace of a Pod that has one.
    fn namespace(&self, pod_uid: &str) -> Option<PathBuf>;

    /// The network as one of plugins, which are to be told more of Pods than others, and do more for them.
    fn plugins(&self) -> Option<&CniNetwork> {
        None
    }

    /// Why no Pod can be connected now, if none can.
    fn trouble(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }

    /// The uids of all Pods that hold an address, for the caller to detach those that are gone.
    async fn known(&self) -> Vec<String>;
}

/// Connects to a port on localhost of a network namespace.
pub(crate) async fn connect(namespace: &Path, port: u16) -> Result<TcpStream, NetworkError> {
    namespace::connect(namespace, port).await
}

/// Opens the network of this node, and removes what no known Pod owns.
pub async fn open(config: &NetworkConfig) -> Result<Arc<dyn PodNetwork>, NetworkError> {
    if let (NetworkMode::Bridge, Some(places)) = (config.mode, &config.cni) {
        return Ok(Arc::new(CniNetwork::open(config, places).await?));
    }
    Ok(match config.mode {
        NetworkMode::Bridge => Arc::new(bridge::BridgeNetwork::open(config).await?),
        NetworkMode::Loopback => Arc::new(loopback::LoopbackNetwork::open(config)?),
    })
}

/// Sets a kernel setting of the calling thread's network namespace. One the kernel was built without is
/// skipped: what it would switch is not there either.
fn sysctl(name: &str, value: &'static str) -> Result<(), NetworkError> {
    let path = Path::new("/proc/sys").join(name);
    match std::fs::write(&path, value) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(NetworkError::Sysctl { path, value, source })
        }
        _ => Ok(()),
    }
}
