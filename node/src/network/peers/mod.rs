//! The Pods of other nodes: for each node a route to its range, by the address that its Node names.
//!
//! A node on the same link is the gateway of its range: packets go there as they are. One behind a router is reached by a
//! tunnel, VXLAN (RFC 7348) with network identifier 1 on UDP port 8472, whose endpoints find each other without asking:
//! the hardware address of a node's end follows from its range, and the nodes' addresses are in the Nodes. Every node has its end, as
//! two nodes need not find the same way to each other. An IPv6 range goes over the link to the IPv6 address of a node that tells one,
//! else through the same tunnel. Tunnels are of IPv4, unless nodes have addresses of IPv6 alone.
//!
//! Routes are marked as ours (protocol 87), so those of a node that left are removed, also after a restart. What is wanted is
//! compared with what is there when a Node changes and once a minute, because links come and go with routes over them.

mod kernel;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wherry_api::ranges::{IpFamily, Ranges};

use self::kernel::{Towards, Tunnel};
use super::NetworkError;
use super::bridge::hardware_address;
use super::layout::{Layout, bits};
use super::netlink::Netlink;

/// How often the kernel's routes are compared with those wanted although no Node changed.
const RESYNC: Duration = Duration::from_mins(1);

/// This node, as others find it.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Its name.
    pub(crate) name: String,
    /// The address it is reached at.
    pub(crate) address: IpAddr,
    /// The addresses of its Pods.
    pub(crate) pods: Ranges,
}

/// By the range of their Pods, the other nodes.
type Peers = BTreeMap<IpNet, Peer>;

/// Another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    /// Where it is reached, and its end of tunnels with it.
    address: IpAddr,
    /// Where it is reached by IPv6 beside, if it tells that.
    address6: Option<Ipv6Addr>,
    /// The hardware address of its end.
    end: [u8; 6],
}

impl Peer {
    /// Where it is asked for a way to a range.
    fn towards(&self, range: IpNet) -> Option<IpAddr> {
        let family = IpFamily::of(range.addr());
        let all = [Some(self.address), self.address6.map(IpAddr::V6)];
        all.into_iter().flatten().find(|ip| IpFamily::of(*ip) == family)
    }
}

/// Keeps routes to the Pods of other nodes until `shutdown`. The routes stay: Pods outlive the agent.
pub(crate) async fn keep(client: Client, mut routes: Routes, shutdown: CancellationToken) {
    let nodes = watcher(Api::<Node>::all(client), watcher::Config::default()).default_backoff();
    let mut nodes = std::pin::pin!(nodes);
    let mut known = Known::by(IpFamily::of(routes.tunnel.local));
    let mut resync = tokio::time::interval(RESYNC);
    loop {
        let mut events = Vec::new();
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = resync.tick() => routes.stale = true,
            Some(event) = nodes.next() => events.push(event),
        }
        while let Some(Some(event)) = nodes.next().now_or_never() {
            events.push(event);
        }
        for event in events {
            match event {
                Ok(event) => known.record(event),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "the watch on Nodes was interrupted");
                }
            }
        }
        if known.complete {
            let peers = known.peers(&routes.node);
            routes.sync(routes.usable(peers)).await;
        }
    }
}

/// What the Nodes say.
struct Known {
    /// Of which family the addresses are by which tunnels find their ends.
    family: IpFamily,
    nodes: BTreeMap<String, Peers>,
    /// The Nodes of a list that is not at its end.
    listed: BTreeMap<String, Peers>,
    complete: bool,
}

impl Known {
    /// Nothing yet.
    fn by(family: IpFamily) -> Self {
        Self { family, nodes: BTreeMap::new(), listed: BTreeMap::new(), complete: false }
    }

    fn record(&mut self, event: Event<Node>) {
        match event {
            Event::Apply(node) => {
                self.nodes.insert(node.name_any(), ranges(&node, self.family));
            }
            Event::Delete(node) => {
                self.nodes.remove(&node.name_any());
            }
            Event::Init => self.listed.clear(),
            Event::InitApply(node) => {
                self.listed.insert(node.name_any(), ranges(&node, self.family));
            }
            Event::InitDone => {
                self.nodes = std::mem::take(&mut self.listed);
                self.complete = true;
            }
        }
    }

    /// The nodes but for this one.
    fn peers(&self, own: &str) -> Peers {
        let others = self.nodes.iter().filter(|(name, _)| *name != own);
        others.flat_map(|(_, ranges)| ranges).map(|(range, peer)| (*range, *peer)).collect()
    }
}

/// The ranges of a node's Pods with where it is; none while it has no address of the family of tunnels, or no range.
fn ranges(node: &Node, family: IpFamily) -> Peers {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.filter(|address| address.type_ == "InternalIP");
    let internal: Vec<IpAddr> = internal.filter_map(|address| address.address.parse().ok()).collect();
    let ranges = node.spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten());
    let ranges: Vec<IpNet> =
        ranges.filter_map(|range| range.parse().ok()).map(|range: IpNet| range.trunc()).collect();
    let address = internal.iter().copied().find(|ip| IpFamily::of(*ip) == family);
    let address6 = internal.iter().find_map(|other| match other {
        IpAddr::V6(ip6) if Some(*other) != address => Some(*ip6),
        _ => None,
    });
    let (Some(address), Some(end)) = (address, end_of(&ranges)) else { return Peers::new() };
    let peer = Peer { address, address6, end };
    ranges.into_iter().map(|range| (range, peer)).collect()
}

/// The kernel's routes to the Pods of other nodes.
pub(crate) struct Routes {
    /// The name of this node.
    node: String,
    netlink: Netlink,
    tunnel: Tunnel,
    /// What the kernel was told last.
    told: Peers,
    /// Whether the kernel may have something else by now.
    stale: bool,
}

impl Routes {
    /// Those of this node.
    pub(crate) fn open(own: Own) -> Result<Self, NetworkError> {
        let layout = Layout::of(own.pods)?;
        let netlink = Netlink::open().map_err(NetworkError::NetlinkSocket)?;
        let first = hardware_address(own.pods.primary().network());
        let mac = end_of(&own.pods.iter().collect::<Vec<_>>()).unwrap_or(first);
        let tunnel = Tunnel { local: own.address, mac, layout };
        Ok(Self { node: own.name, netlink, tunnel, told: Peers::new(), stale: true })
    }

    /// The ranges of families that Pods of this node have addresses of.
    fn usable(&self, mut peers: Peers) -> Peers {
        let families: Vec<IpFamily> = self.tunnel.layout.families().collect();
        peers.retain(|range, _| families.contains(&IpFamily::of(range.addr())));
        peers
    }

    /// Makes the kernel's routes those to these nodes. What fails is tried again at the next change or resync.
    async fn sync(&mut self, peers: Peers) {
        if !self.stale && self.told == peers {
            return;
        }
        self.stale = false;
        if let Err(error) = self.remove_all_but(&peers).await {
            self.failed(&error);
        }
        if let Err(error) = self.lead_to(&peers).await {
            self.failed(&error);
        }
        self.told = peers;
    }

    fn failed(&mut self, error: &NetworkError) {
        self.stale = true;
        let error = error as &dyn std::error::Error;
        warn!(error, "Pods of another node cannot be reached");
    }

    async fn remove_all_but(&self, peers: &Peers) -> Result<(), NetworkError> {
        for (range, route) in self.netlink.own_routes(self.tunnel.layout.families()).await? {
            if !peers.contains_key(&range) {
                self.netlink.remove_route(route, range).await?;
                info!(%range, "removed the way to the Pods of a node that left");
            }
        }
        Ok(())
    }

    async fn lead_to(&mut self, peers: &Peers) -> Result<(), NetworkError> {
        let (mut ways, mut over) = (Vec::new(), BTreeSet::new());
        for (range, peer) in peers {
            match self.way(*range, peer).await {
                Ok(Towards::Self_) => {}
                Ok(towards @ (Towards::Link(interface) | Towards::Router(interface))) => {
                    over.insert(interface);
                    ways.push((*range, *peer, towards));
                }
                // The others may be reached all the same.
                Err(error) => self.failed(&error),
            }
        }
        if ways.is_empty() {
            return Ok(());
        }
        // Also where nothing is sent through it: another node may find that we are behind a router.
        let tunnel = self.netlink.tunnel(&self.tunnel, &over).await?;
        for (range, peer, towards) in ways {
            let led = match (towards, peer.towards(range)) {
                (Towards::Link(interface), Some(node)) => {
                    self.netlink.lead_over_link(range, node, interface).await
                }
                _ => self.netlink.lead_through(tunnel, &self.tunnel, range, &peer).await,
            };
            match led {
                Ok(()) if self.told.get(&range) == Some(&peer) => {}
                Ok(()) => info!(%range, node = %peer.address, "led the way to the Pods of another node"),
                Err(error) => self.failed(&error),
            }
        }
        Ok(())
    }

    /// How packets of a range are to leave: over a link that the node is on, else as its tunnel's do.
    async fn way(&self, range: IpNet, peer: &Peer) -> Result<Towards, NetworkError> {
        if let Some(node) = peer.towards(range)
            && let Ok(towards @ (Towards::Link(_) | Towards::Self_)) = self.netlink.towards(node).await
        {
            return Ok(towards);
        }
        Ok(match self.netlink.towards(peer.address).await? {
            Towards::Link(interface) | Towards::Router(interface) => Towards::Router(interface),
            Towards::Self_ => Towards::Self_,
        })
    }
}

/// The hardware address of a node's end of tunnels: that of the first address of its range of IPv4, which nobody has, or one by which
/// its range of IPv6 is told from others of this size.
fn end_of(ranges: &[IpNet]) -> Option<[u8; 6]> {
    let range = ranges.iter().find(|range| range.addr().is_ipv4()).or(ranges.first())?;
    Some(match range {
        IpNet::V4(range) => hardware_address(range.network().into()),
        IpNet::V6(range) => {
            let number = bits(range.network().into()).checked_shr(128 - u32::from(range.prefix_len()));
            hardware_address(Ipv6Addr::from_bits(number.unwrap_or(0)).into())
        }
    })
}
