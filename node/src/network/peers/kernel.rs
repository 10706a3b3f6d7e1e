//! What routes to other nodes ask of the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::neighbour::NeighbourFlags;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{LinkVxlan, RouteMessageBuilder};
use wherry_api::ranges::IpFamily;

use super::super::NetworkError;
use super::super::layout::Layout;
use super::super::netlink::{Netlink, all_of, by, failed, prefer, to};
use super::Peer;

/// The tunnels' interface.
const TUNNEL: &str = "wherry-vxlan";
/// The VXLAN network identifier.
const NETWORK: u32 = 1;
/// The UDP port of tunnels, that of Linux from before RFC 7348 fixed one, which other pod networks use as well.
const PORT: u16 = 8472;
/// What a tunnel adds to a packet: Ethernet, VXLAN, UDP and IPv4 headers, or in place of the last those of IPv6.
const OVERHEAD: u32 = 50;
const OVERHEAD_SIX: u32 = 70;
/// The protocol of our routes, by which they are told from all others.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(87);

/// How packets to a node leave this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    /// Not at all: the address is one of this node.
    Self_,
    /// By an interface that the node is on, too.
    Link(u32),
    /// By an interface, over a router.
    Router(u32),
}

/// This node's end of its tunnels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel {
    /// The address other nodes send to.
    pub(super) local: IpAddr,
    /// Its hardware address.
    pub(super) mac: [u8; 6],
    /// What its Pods have; packets of the node itself get the bridge's address.
    pub(super) layout: Layout,
}

impl Netlink {
    /// How packets to an address leave.
    pub(super) async fn towards(&self, address: IpAddr) -> Result<Towards, NetworkError> {
        let asked = to(address.into()).build();
        let answer = self.handle.route().get(asked).execute().try_next().await;
        let route = answer.map_err(failed(format!("look up the route to node {address}")))?;
        let route = route.ok_or(NetworkError::NoRoute { address })?;
        if route.header.kind == RouteType::Local {
            return Ok(Towards::Self_);
        }
        let interface = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        let interface = interface.ok_or(NetworkError::NoRoute { address })?;
        let is_gateway = |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Gateway(_));
        let over_router = route.attributes.iter().any(is_gateway);
        Ok(if over_router { Towards::Router(interface) } else { Towards::Link(interface) })
    }

    /// Our routes of these families, with the ranges they lead to.
    pub(super) async fn own_routes(
        &self,
        families: impl Iterator<Item = IpFamily>,
    ) -> Result<Vec<(IpNet, RouteMessage)>, NetworkError> {
        let mut own = Vec::new();
        for family in families {
            let all = self.handle.route().get(all_of(family).build()).execute();
            let all: Vec<RouteMessage> = all.try_collect().await.map_err(failed("list routes".to_owned()))?;
            own.extend(all.into_iter().filter(|route| route.header.protocol == PROTOCOL));
        }
        Ok(own.into_iter().filter_map(|route| Some((destination(&route)?, route))).collect())
    }

    pub(super) async fn remove_route(&self, route: RouteMessage, range: IpNet) -> Result<(), NetworkError> {
        let removed = self.handle.route().del(route).execute().await;
        removed.map_err(failed(format!("remove the route to {range}")))
    }

    /// Makes a node on an interface's link the gateway of a range.
    pub(super) async fn lead_over_link(
        &self,
        range: IpNet,
        node: IpAddr,
        interface: u32,
    ) -> Result<(), NetworkError> {
        let route = leading_to(range, node, interface).build();
        self.add_route(route, format!("route {range} over node {node}")).await
    }

    /// The interface of tunnels, which send over other interfaces; its index. It is made if it is not as wanted.
    pub(super) async fn tunnel(&self, own: &Tunnel, over: &BTreeSet<u32>) -> Result<u32, NetworkError> {
        let overhead = if own.local.is_ipv4() { OVERHEAD } else { OVERHEAD_SIX };
        let mut mtu = u32::MAX;
        for interface in over {
            mtu = mtu.min(self.mtu(*interface).await?.saturating_sub(overhead));
        }
        if let Some(link) = self.find(TUNNEL).await? {
            if self.is_tunnel(link.index, own, mtu).await? {
                return Ok(link.index);
            }
            self.remove(TUNNEL).await?;
        }
        let link = LinkVxlan::new(TUNNEL, NETWORK);
        let link = match own.local {
            IpAddr::V4(local) => link.local(local),
            IpAddr::V6(local) => link.local6(local),
        };
        let link = link.port(PORT).learning(false).address(own.mac.to_vec()).mtu(mtu).up();
        let made = self.handle.link().add(link.build()).execute().await;
        made.map_err(failed(format!("make interface {TUNNEL}")))?;
        let index = self.get(TUNNEL).await?.index;
        // What is sent through it in the node's name gets this address.
        if let Some(gateway) = own.layout.gateway(IpFamily::V4) {
            self.address(index, gateway, 32).await?;
        }
        Ok(index)
    }

    async fn attributes(&self, index: u32) -> Result<Vec<LinkAttribute>, NetworkError> {
        let found = self.handle.link().get().match_index(index).execute().try_next().await;
        let found = found.map_err(failed(format!("look up interface {index}")))?;
        Ok(found.map(|message| message.attributes).unwrap_or_default())
    }

    async fn mtu(&self, index: u32) -> Result<u32, NetworkError> {
        let attributes = self.attributes(index).await?;
        let mtu = attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        mtu.ok_or_else(|| NetworkError::NoInterface { name: index.to_string() })
    }

    async fn is_tunnel(&self, index: u32, own: &Tunnel, mtu: u32) -> Result<bool, NetworkError> {
        let attributes = self.attributes(index).await?;
        let wanted = [LinkAttribute::Mtu(mtu), LinkAttribute::Address(own.mac.to_vec())];
        Ok(wanted.iter().all(|wanted| attributes.contains(wanted)))
    }

    /// Leads a range through a tunnel to its node.
    pub(super) async fn lead_through(
        &self,
        tunnel: u32,
        own: &Tunnel,
        range: IpNet,
        peer: &Peer,
    ) -> Result<(), NetworkError> {
        let step = format!("lead {range} through a tunnel to node {}", peer.address);
        let gateway = match range {
            IpNet::V4(range) => range.network().into(),
            // The kernel wants a gateway of the link.
            IpNet::V6(_) => link_local(peer.end).into(),
        };
        let forward = self.handle.neighbours().add_bridge(tunnel, &peer.end);
        let forward = forward.destination(peer.address);
        // The entry is the interface's own, not one of a bridge it might be a port of.
        let forwarded = forward.flags(NeighbourFlags::Own).replace().execute().await;
        forwarded.map_err(failed(step.clone()))?;
        self.neighbour(tunnel, gateway, peer.end).await?;
        let mut route = leading_to(range, gateway, tunnel).onlink();
        if let Some(source) = own.layout.gateway(IpFamily::of(gateway)) {
            prefer(&mut route, source);
        }
        self.add_route(route.build(), step).await
    }
}

fn leading_to(range: IpNet, gateway: IpAddr, interface: u32) -> RouteMessageBuilder<IpAddr> {
    let mut route = to(range).output_interface(interface).scope(RouteScope::Universe).protocol(PROTOCOL);
    by(&mut route, gateway);
    route
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    IpNet::new(address?, route.header.destination_prefix_length).ok()
}

/// The address of the link that follows from a hardware address (RFC 4291, appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let mut octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
    octets[8..11].copy_from_slice(&mac[..3]);
    octets[13..].copy_from_slice(&mac[3..]);
    octets[8] ^= 2;
    octets.into()
}
