//! The network of a node that has root: a bridge, veth pairs, local addresses.
//!
//! ```text
//!   node's namespace                                          a Pod's namespace
//!   wherry0 10.244.0.1/25 ── port whaf40002 (hairpin) ─veth─  eth0 10.244.0.2/32, default via 10.244.0.1
//!   lo      local 10.244.0.128/25  <- wasm containers bind these
//! ```
//!
//! A Pod's address has no neighbours (/32), so all its packets pass the node's routing. The bridge's hardware
//! address and the Pods' follow from their addresses, so no neighbour cache is ever stale.
//!
//! A packet that leaves the cluster's range gets the node's address. A Pod may not reach the node's own
//! loopback addresses, although the bridge routes them so that node ports work on 127.0.0.1.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ipnet::{IpNet, Ipv4Net};
use tokio::sync::Mutex;

use super::ipam::{Ipam, Lease, Pool, host_addresses, ipv4};
use super::namespace::{Namespace, Namespaces};
use super::netlink::{Link, Netlink, Veth};
use super::{NetworkConfig, NetworkError, PodAddress, PodNetwork, nft, sysctl};

/// The bridge all Pods with a network namespace are on.
const BRIDGE: &str = "wherry0";
const POD_INTERFACE: &str = "eth0";
const HOST_PREFIX: &str = "wh";

/// How a node's pod CIDR is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// For Pods with a network namespace.
    pub(crate) namespaced: Ipv4Net,
    /// For Pods without one.
    pub(crate) local: Ipv4Net,
    /// The bridge's address.
    pub(crate) gateway: Ipv4Addr,
}

impl Layout {
    /// Divides a pod CIDR.
    pub(crate) fn of(pod_cidr: IpNet) -> Result<Self, NetworkError> {
        let range = ipv4(pod_cidr)?;
        let size = 1u32 << (32 - range.prefix_len() - 1);
        let first = u32::from(range.network());
        let half = |start: u32| Ipv4Net::new(Ipv4Addr::from(start), range.prefix_len() + 1);
        let (Ok(namespaced), Ok(local)) = (half(first), half(first + size)) else {
            return Err(NetworkError::Cidr { cidr: pod_cidr, reason: "it cannot be halved" });
        };
        Ok(Self { namespaced, local, gateway: Ipv4Addr::from(first + 1) })
    }
}

/// See the module.
pub(super) struct BridgeNetwork {
    ipam: Ipam,
    namespaces: Namespaces,
    netlink: Netlink,
    gateway: Ipv4Addr,
    bridge: Link,
    /// Calls for one Pod wait for each other; a Pod's lock follows from its uid.
    locks: [Mutex<()>; 16],
}

impl BridgeNetwork {
    /// Makes the bridge, its routes and rules, and removes what no known Pod owns.
    pub(super) async fn open(config: &NetworkConfig) -> Result<Self, NetworkError> {
        let layout = Layout::of(config.pod_cidr)?;
        let directory = config.data_dir.join("network");
        let mut hosts = host_addresses(layout.namespaced);
        hosts.start = u32::from(layout.gateway) + 1;
        let namespaced = Pool::new(layout.namespaced, hosts);
        let local = Pool::new(layout.local, host_addresses(layout.local));
        let ipam = Ipam::open(&directory, namespaced, local)?;
        let namespaces = Namespaces::open(directory.join("netns"))?;
        let netlink = Netlink::open().map_err(NetworkError::NetlinkSocket)?;
        let bridge = set_up_node(&netlink, &layout).await?;
        nft::apply(rules(config, &layout)).await.map_err(NetworkError::Masquerade)?;
        let locks = std::array::from_fn(|_| Mutex::new(()));
        let network = Self { ipam, namespaces, netlink, gateway: layout.gateway, bridge, locks };
        network.remove_leftovers().await?;
        Ok(network)
    }

    async fn remove_leftovers(&self) -> Result<(), NetworkError> {
        let leases = self.ipam.leases();
        let owned: Vec<String> =
            leases.values().filter(|lease| lease.netns).map(|lease| host_interface(lease.ip)).collect();
        for port in self.netlink.ports(self.bridge.index).await? {
            if port.name.starts_with(HOST_PREFIX) && !owned.contains(&port.name) {
                tracing::info!(interface = port.name, "removed the interface of a Pod that is gone");
                self.netlink.remove(&port.name).await?;
            }
        }
        for uid in self.namespaces.list()? {
            if !leases.get(&uid).is_some_and(|lease| lease.netns) {
                tracing::info!(pod_uid = uid, "removed the network namespace of a Pod that is gone");
                self.namespaces.remove(&uid)?;
            }
        }
        Ok(())
    }

    fn lock(&self, uid: &str) -> &Mutex<()> {
        let sum = uid.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.locks[sum % self.locks.len()]
    }

    async fn connect(&self, uid: &str, lease: Lease, made: Option<&Path>) -> Result<PathBuf, NetworkError> {
        let namespace = self.namespaces.ensure(uid, lease.ip, made).await?;
        let host = host_interface(lease.ip);
        let inside = namespace.netlink.find(POD_INTERFACE).await?;
        if inside.is_none() || self.netlink.find(&host).await?.is_none() {
            namespace.netlink.remove(POD_INTERFACE).await?;
            self.netlink.remove(&host).await?;
            let (bridge, netns) = (self.bridge.index, namespace.file.as_fd());
            let pod_mac = hardware_address(lease.ip);
            let veth = Veth { host: &host, bridge, pod: POD_INTERFACE, netns, pod_mac };
            self.netlink.add_veth(&veth).await?;
        }
        self.set_up_pod(&namespace, lease.ip).await?;
        self.netlink.wait_until_up(self.netlink.get(&host).await?.index).await?;
        self.netlink.wait_until_up(self.bridge.index).await?;
        Ok(namespace.path)
    }

    async fn set_up_pod(&self, namespace: &Namespace, ip: Ipv4Addr) -> Result<(), NetworkError> {
        let netlink = &namespace.netlink;
        netlink.up(netlink.get("lo").await?.index).await?;
        let interface = netlink.get(POD_INTERFACE).await?.index;
        netlink.address(interface, ip, 32).await?;
        netlink.up(interface).await?;
        netlink.route(self.gateway.into(), interface, None).await?;
        netlink.default_route(self.gateway, interface).await
    }
}

#[async_trait]
impl PodNetwork for BridgeNetwork {
    async fn attach(&self, pod_uid: &str, needs_netns: bool) -> Result<PodAddress, NetworkError> {
        let _turn = self.lock(pod_uid).lock().await;
        let lease = self.ipam.allocate(pod_uid, needs_netns)?;
        let netns = if lease.netns { Some(self.connect(pod_uid, lease, None).await?) } else { None };
        Ok(PodAddress { ip: IpAddr::V4(lease.ip), netns })
    }

    async fn attach_made(&self, pod_uid: &str, made: &Path) -> Result<PodAddress, NetworkError> {
        let _turn = self.lock(pod_uid).lock().await;
        let lease = self.ipam.allocate(pod_uid, true)?;
        let netns = self.connect(pod_uid, lease, Some(made)).await?;
        Ok(PodAddress { ip: IpAddr::V4(lease.ip), netns: Some(netns) })
    }

    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError> {
        let _turn = self.lock(pod_uid).lock().await;
        let Some(lease) = self.ipam.get(pod_uid) else { return Ok(()) };
        if lease.netns {
            self.netlink.remove(&host_interface(lease.ip)).await?;
            self.namespaces.remove(pod_uid)?;
        }
        self.ipam.release(pod_uid)
    }

    fn namespace(&self, pod_uid: &str) -> Option<PathBuf> {
        self.ipam.get(pod_uid).filter(|lease| lease.netns).map(|_| self.namespaces.path(pod_uid))
    }

    async fn known(&self) -> Vec<String> {
        self.ipam.known()
    }
}

/// Leads the Services' addresses to the bridge. They are translated before a packet leaves the node; the route
/// only lets it start, with a source address that every Pod of the cluster can answer.
pub(crate) async fn route_services(pod_cidr: IpNet, service_cidr: IpNet) -> Result<(), NetworkError> {
    let layout = Layout::of(pod_cidr)?;
    let netlink = Netlink::open().map_err(NetworkError::NetlinkSocket)?;
    let bridge = netlink.get(BRIDGE).await?;
    netlink.route(ipv4(service_cidr)?, bridge.index, Some(layout.gateway)).await
}

/// Makes a Service address one of this node's own: packets to it end here, wherever they come from.
pub(crate) async fn own_address(ip: IpAddr) -> Result<(), NetworkError> {
    let IpAddr::V4(own) = ip else {
        return Err(NetworkError::Cidr { cidr: ip.into(), reason: "only IPv4 is supported" });
    };
    let netlink = Netlink::open().map_err(NetworkError::NetlinkSocket)?;
    let loopback = netlink.get("lo").await?;
    netlink.local_route(own.into(), loopback.index).await
}

async fn set_up_node(netlink: &Netlink, layout: &Layout) -> Result<Link, NetworkError> {
    sysctl("net/ipv4/ip_forward", "1")?;
    let loopback = netlink.get("lo").await?;
    netlink.up(loopback.index).await?;
    if netlink.find(BRIDGE).await?.is_none() {
        netlink.add_bridge(BRIDGE, hardware_address(layout.gateway)).await?;
    }
    let bridge = netlink.get(BRIDGE).await?;
    sysctl("net/ipv4/conf/wherry0/route_localnet", "1")?;
    sysctl("net/ipv4/conf/wherry0/send_redirects", "0")?;
    netlink.address(bridge.index, layout.gateway, layout.namespaced.prefix_len()).await?;
    netlink.up(bridge.index).await?;
    netlink.local_route(layout.local, loopback.index).await?;
    Ok(bridge)
}

/// The node's end of a Pod's veth pair, at most 15 letters.
pub(crate) fn host_interface(ip: Ipv4Addr) -> String {
    format!("{HOST_PREFIX}{:08x}", u32::from(ip))
}

/// A locally administered unicast address made of an IP address.
pub(super) fn hardware_address(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x0a, 0x58, a, b, c, d]
}

fn rules(config: &NetworkConfig, layout: &Layout) -> String {
    let (pods, cluster) = (config.pod_cidr, config.cluster_cidr);
    let mut script = String::from("add table ip wherry_network\ndelete table ip wherry_network\n");
    // Writing to a String cannot fail.
    let _ = write!(
        script,
        "table ip wherry_network {{
  chain martians {{
    type filter hook prerouting priority raw; policy accept;
    iifname \"{BRIDGE}\" ip daddr 127.0.0.0/8 drop
    iifname \"{BRIDGE}\" ip saddr != {lower} drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pods} ip daddr != {cluster} oifname != {{ \"lo\", \"{BRIDGE}\" }} masquerade
  }}
}}
",
        lower = layout.namespaced,
    );
    script
}
