//! The network of a node that has root: a bridge, veth pairs, local addresses.
//!
//! ```text
//!   node's namespace                                          a Pod's namespace
//!   wherry0 10.244.0.1/25 ── port whaf40002 (hairpin) ─veth─  eth0 10.244.0.2/32, default via 10.244.0.1
//!   lo      local 10.244.0.128/25  <- wasm containers bind these
//! ```
//!
//! Where Pods have IPv6 addresses, all of this is so once more in IPv6, on the same interfaces, or instead.
//!
//! A Pod's address has no neighbours (/32, /128), so all its packets pass the node's routing. The bridge's hardware
//! address and the Pods' follow from their addresses, so no neighbour cache is ever stale.
//!
//! A packet that leaves the cluster's range gets the node's address. A Pod may not reach the node's own
//! loopback addresses, although the bridge routes them so that node ports work on 127.0.0.1.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ipnet::IpNet;
use wherry_api::ranges::{IpFamily, Ranges};

use super::ipam::{Ipam, Lease, Pool, host_addresses};
use super::layout::{Layout, bits};
use super::namespace::{Namespace, Namespaces, SixSettings};
use super::netlink::{Link, Netlink, Veth};
use super::turns::Turns;
use super::{Bandwidth, NetworkConfig, NetworkError, PodAddress, PodNetwork, nft, sysctl};

/// The bridge all Pods with a network namespace are on.
const BRIDGE: &str = "wherry0";
const POD_INTERFACE: &str = "eth0";
const HOST_PREFIX: &str = "wh";
/// Where the kernel's settings of IPv6 are, by interface.
const SIX_SETTINGS: &str = "/proc/sys/net/ipv6/conf";

/// See the module.
pub(super) struct BridgeNetwork {
    ipam: Ipam,
    namespaces: Namespaces,
    netlink: Netlink,
    layout: Layout,
    bridge: Link,
    turns: Turns,
}

impl BridgeNetwork {
    /// Makes the bridge, its routes and rules, and removes what no known Pod owns.
    pub(super) async fn open(config: &NetworkConfig) -> Result<Self, NetworkError> {
        let layout = Layout::of(config.pod_cidr)?;
        let directory = config.data_dir.join("network");
        let mut hosts = host_addresses(layout.first.namespaced);
        // The first is the gateway's.
        hosts.start += 1;
        let namespaced = Pool::new(layout.first.namespaced, hosts);
        let local = Pool::new(layout.first.local, host_addresses(layout.first.local));
        let has_six = layout.families().any(|family| family == IpFamily::V6);
        let six = if has_six { SixSettings::With } else { SixSettings::Without };
        let ipam = Ipam::open(&directory, namespaced, local)?;
        let namespaces = Namespaces::open(directory.join("netns"), six)?;
        let netlink = Netlink::open().map_err(NetworkError::NetlinkSocket)?;
        let bridge = set_up_node(&netlink, &layout).await?;
        nft::Transactions::default().apply(rules(config, &layout)).await.map_err(NetworkError::Masquerade)?;
        let network = Self { ipam, namespaces, netlink, layout, bridge, turns: Turns::default() };
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

    async fn set_up_pod(&self, namespace: &Namespace, first: IpAddr) -> Result<(), NetworkError> {
        let netlink = &namespace.netlink;
        netlink.up(netlink.get("lo").await?.index).await?;
        let interface = netlink.get(POD_INTERFACE).await?.index;
        let ips = self.address(first, None).ips();
        for ip in &ips {
            netlink.address(interface, *ip, IpNet::from(*ip).prefix_len()).await?;
            // What the node knows stays: it is true of the next Pod, too. So no packet to a Pod waits until the node knows where it is,
            // and passes policies that were not there when it was judged.
            self.netlink.neighbour(self.bridge.index, *ip, hardware_address(first)).await?;
        }
        netlink.up(interface).await?;
        for gateway in ips.iter().filter_map(|ip| self.layout.gateway(IpFamily::of(*ip))) {
            netlink.route(gateway.into(), interface, None).await?;
            netlink.default_route(gateway, interface).await?;
        }
        if let Some(gateway) = self.layout.gateway(IpFamily::V6) {
            // Without an address of the link the Pod could not ask.
            netlink.neighbour(interface, gateway, hardware_address(self.layout.first.gateway)).await?;
        }
        Ok(())
    }

    /// What the Pod with this address has.
    fn address(&self, ip: IpAddr, netns: Option<PathBuf>) -> PodAddress {
        PodAddress { ip, ip6: self.layout.beside(ip), netns }
    }
}

#[async_trait]
impl PodNetwork for BridgeNetwork {
    async fn attach(&self, pod_uid: &str, needs_netns: bool) -> Result<PodAddress, NetworkError> {
        let _turn = self.turns.of(pod_uid).await;
        let lease = self.ipam.allocate(pod_uid, needs_netns)?;
        let netns = if lease.netns { Some(self.connect(pod_uid, lease, None).await?) } else { None };
        Ok(self.address(lease.ip, netns))
    }

    async fn attach_made(&self, pod_uid: &str, made: &Path) -> Result<PodAddress, NetworkError> {
        let _turn = self.turns.of(pod_uid).await;
        let lease = self.ipam.allocate(pod_uid, true)?;
        let netns = self.connect(pod_uid, lease, Some(made)).await?;
        Ok(self.address(lease.ip, Some(netns)))
    }

    async fn limit(&self, pod_uid: &str, bandwidth: Bandwidth) -> Result<(), NetworkError> {
        let _turn = self.turns.of(pod_uid).await;
        let Some(lease) = self.ipam.get(pod_uid).filter(|lease| lease.netns) else { return Ok(()) };
        // What one end sends the other is sent.
        if let Some(bits) = bandwidth.ingress {
            self.netlink.limit(self.netlink.get(&host_interface(lease.ip)).await?.index, bits).await?;
        }
        if let Some(bits) = bandwidth.egress {
            let netlink = self.namespaces.ensure(pod_uid, lease.ip, None).await?.netlink;
            netlink.limit(netlink.get(POD_INTERFACE).await?.index, bits).await?;
        }
        Ok(())
    }

    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError> {
        let _turn = self.turns.of(pod_uid).await;
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
pub(crate) async fn route_services(pods: Ranges, services: Ranges) -> Result<(), NetworkError> {
    let layout = Layout::of(pods)?;
    let netlink = Netlink::open().map_err(NetworkError::NetlinkSocket)?;
    // Where plugins connect Pods there is none, and the default route lets a packet start.
    let Some(bridge) = netlink.find(BRIDGE).await? else { return Ok(()) };
    for range in services.iter() {
        let Some(source) = layout.gateway(IpFamily::of(range.addr())) else { continue };
        netlink.route(range, bridge.index, Some(source)).await?;
    }
    Ok(())
}

/// Makes a Service address one of this node's own: packets to it end here, wherever they come from.
pub(crate) async fn own_address(ip: IpAddr) -> Result<(), NetworkError> {
    let netlink = Netlink::open().map_err(NetworkError::NetlinkSocket)?;
    let loopback = netlink.get("lo").await?;
    netlink.local_route(ip.into(), loopback.index).await
}

async fn set_up_node(netlink: &Netlink, layout: &Layout) -> Result<Link, NetworkError> {
    for family in layout.families() {
        match family {
            IpFamily::V4 => sysctl("net/ipv4/ip_forward", "1")?,
            IpFamily::V6 => forward_six()?,
        }
    }
    let loopback = netlink.get("lo").await?;
    netlink.up(loopback.index).await?;
    if netlink.find(BRIDGE).await?.is_none() {
        netlink.add_bridge(BRIDGE, hardware_address(layout.first.gateway)).await?;
    }
    let bridge = netlink.get(BRIDGE).await?;
    sysctl("net/ipv4/conf/wherry0/route_localnet", "1")?;
    sysctl("net/ipv4/conf/wherry0/send_redirects", "0")?;
    // No Pod is a router.
    sysctl("net/ipv6/conf/wherry0/accept_ra", "0")?;
    for family in layout.families() {
        let (gateway, parts) = (layout.gateway(family), layout.namespaced(family).zip(layout.local(family)));
        let (Some(gateway), Some((namespaced, local))) = (gateway, parts) else { continue };
        netlink.address(bridge.index, gateway, namespaced.prefix_len()).await?;
        netlink.local_route(local, loopback.index).await?;
    }
    netlink.up(bridge.index).await?;
    Ok(bridge)
}

/// Makes the node a router of IPv6.
fn forward_six() -> Result<(), NetworkError> {
    listen_to_routers().map_err(|source| NetworkError::Sysctl {
        path: PathBuf::from(SIX_SETTINGS),
        value: "2 for accept_ra",
        source,
    })?;
    sysctl("net/ipv6/conf/all/forwarding", "1")?;
    // In IPv6 a local route makes no address that programs may bind.
    sysctl("net/ipv6/ip_nonlocal_bind", "1")
}

/// A router listens to no other router unless it is told to: without this the node would forget the ways it learned from one.
fn listen_to_routers() -> io::Result<()> {
    for interface in fs::read_dir(SIX_SETTINGS)? {
        let interface = interface?;
        let setting = interface.path().join("accept_ra");
        let is_one = !["all", "default"].iter().any(|name| interface.file_name() == *name);
        if is_one && fs::read_to_string(&setting)?.trim() == "1" {
            fs::write(&setting, "2")?;
        }
    }
    Ok(())
}

/// The node's end of a Pod's veth pair, at most 15 letters.
pub(crate) fn host_interface(ip: IpAddr) -> String {
    let [.., a, b, c, d] = bits(ip).to_be_bytes();
    format!("{HOST_PREFIX}{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// A locally administered unicast address made of the end of an IP address, by which those of a node's Pods differ.
pub(super) fn hardware_address(ip: IpAddr) -> [u8; 6] {
    let [.., a, b, c, d] = bits(ip).to_be_bytes();
    [0x0a, 0x58, a, b, c, d]
}

/// The script of the rules of all families.
fn rules(config: &NetworkConfig, layout: &Layout) -> String {
    let of_family = |family: IpFamily| {
        let (pods, cluster) = (config.pod_cidr.of(family)?, config.cluster_cidr.of(family)?);
        let (ip, lower) = (nft::header(family), layout.namespaced(family)?);
        // The kernel itself drops what claims to be of its loopback in IPv6.
        let loopback = match family {
            IpFamily::V4 => format!("iifname \"{BRIDGE}\" ip daddr 127.0.0.0/8 drop\n    "),
            IpFamily::V6 => String::new(),
        };
        Some(format!(
            "add table {ip} wherry_network
delete table {ip} wherry_network
table {ip} wherry_network {{
  chain martians {{
    type filter hook prerouting priority raw; policy accept;
    {loopback}iifname \"{BRIDGE}\" {ip} saddr != {lower} drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    {ip} saddr {pods} {ip} daddr != {cluster} oifname != {{ \"lo\", \"{BRIDGE}\" }} masquerade
  }}
}}
"
        ))
    };
    layout.families().filter_map(of_family).collect()
}
