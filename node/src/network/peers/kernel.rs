//! What routes to other nodes ask of the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::neighbour::NeighbourFlags;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{LinkVxlan, RouteMessageBuilder};

use super::super::NetworkError;
use super::super::netlink::{Netlink, failed};

/// The tunnels' interface.
const TUNNEL: &str = "wherry-vxlan";
/// The VXLAN network identifier.
const NETWORK: u32 = 1;
/// The UDP port of tunnels, that of Linux from before RFC 7348 fixed one, which other pod networks use as well.
const PORT: u16 = 8472;
/// What a tunnel adds to a packet: Ethernet, VXLAN, UDP and IPv4 headers.
const OVERHEAD: u32 = 50;
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
    pub(super) local: Ipv4Addr,
    /// Its hardware address.
    pub(super) mac: [u8; 6],
    /// The address that packets of the node itself get.
    pub(super) source: Ipv4Addr,
}

impl Netlink {
    /// How packets to an address leave.
    pub(super) async fn towards(&self, address: Ipv4Addr) -> Result<Towards, NetworkError> {
        let asked = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build();
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

    /// Our routes, with the ranges they lead to.
    pub(super) async fn own_routes(&self) -> Result<Vec<(Ipv4Net, RouteMessage)>, NetworkError> {
        let all = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        let all: Vec<RouteMessage> = all.try_collect().await.map_err(failed("list routes".to_owned()))?;
        let own = all.into_iter().filter(|route| route.header.protocol == PROTOCOL);
        Ok(own.filter_map(|route| Some((destination(&route)?, route))).collect())
    }

    pub(super) async fn remove_route(&self, route: RouteMessage, range: Ipv4Net) -> Result<(), NetworkError> {
        let removed = self.handle.route().del(route).execute().await;
        removed.map_err(failed(format!("remove the route to {range}")))
    }

    /// Makes a node on an interface's link the gateway of a range.
    pub(super) async fn lead_over_link(
        &self,
        range: Ipv4Net,
        node: Ipv4Addr,
        interface: u32,
    ) -> Result<(), NetworkError> {
        let route = leading_to(range, node, interface).build();
        self.add_route(route, format!("route {range} over node {node}")).await
    }

    /// The interface of tunnels, which send over other interfaces; its index. It is made if it is not as wanted.
    pub(super) async fn tunnel(&self, own: &Tunnel, over: &BTreeSet<u32>) -> Result<u32, NetworkError> {
        let mut mtu = u32::MAX;
        for interface in over {
            mtu = mtu.min(self.mtu(*interface).await?.saturating_sub(OVERHEAD));
        }
        if let Some(link) = self.find(TUNNEL).await? {
            if self.is_tunnel(link.index, own, mtu).await? {
                return Ok(link.index);
            }
            self.remove(TUNNEL).await?;
        }
        let link = LinkVxlan::new(TUNNEL, NETWORK)
            .local(own.local)
            .port(PORT)
            .learning(false)
            .address(own.mac.to_vec())
            .mtu(mtu)
            .up();
        let made = self.handle.link().add(link.build()).execute().await;
        made.map_err(failed(format!("make interface {TUNNEL}")))?;
        let index = self.get(TUNNEL).await?.index;
        // What is sent through it in the node's name gets this address.
        self.address(index, own.source, 32).await?;
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

    /// Leads a range through a tunnel to the node of this address, whose end has this hardware address.
    pub(super) async fn lead_through(
        &self,
        tunnel: u32,
        own: &Tunnel,
        (range, end): (Ipv4Net, [u8; 6]),
        node: Ipv4Addr,
    ) -> Result<(), NetworkError> {
        let step = || failed(format!("lead {range} through a tunnel to node {node}"));
        let gateway = range.network();
        let forward = self.handle.neighbours().add_bridge(tunnel, &end).destination(IpAddr::V4(node));
        // The entry is the interface's own, not one of a bridge it might be a port of.
        forward.flags(NeighbourFlags::Own).replace().execute().await.map_err(step())?;
        let neighbour = self.handle.neighbours().add(tunnel, gateway.into()).link_layer_address(&end);
        neighbour.replace().execute().await.map_err(step())?;
        let route = leading_to(range, gateway, tunnel).onlink().pref_source(own.source).build();
        self.add_route(route, format!("route {range} through a tunnel to node {node}")).await
    }
}

fn leading_to(range: Ipv4Net, gateway: Ipv4Addr, interface: u32) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(range.network(), range.prefix_len())
        .gateway(gateway)
        .output_interface(interface)
        .scope(RouteScope::Universe)
        .protocol(PROTOCOL)
}

fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    Ipv4Net::new(address?, route.header.destination_prefix_length).ok()
}
