//! The few requests to the kernel's interfaces, addresses and routes that Pod networks need.
//!
//! A [`Netlink`] speaks for the network namespace of the thread that opened its socket, wherever it is used
//! afterwards: that is how a Pod's namespace is set up without a thread staying in it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{
    BridgePortState, InfoBridgePort, InfoData, InfoPortData, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
    State,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteScope, RouteType};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::task::JoinSet;
use wherry_api::ranges::IpFamily;

use super::NetworkError;

/// The routing table of the node's own addresses.
const LOCAL_TABLE: u32 = 255;
const CARRIER_TRIES: u32 = 1000;
const CARRIER_PAUSE: Duration = Duration::from_millis(2);
const NO_DEVICE: i32 = -(nix::errno::Errno::ENODEV as i32);

/// A netlink socket and the task that drives it.
pub(super) struct Netlink {
    pub(super) handle: Handle,
    _driver: JoinSet<()>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
}

/// The two ends of a veth pair to be made.
pub(super) struct Veth<'a> {
    /// The end that stays in the node's namespace, and the bridge it becomes a port of.
    pub(super) host: &'a str,
    pub(super) bridge: u32,
    /// The end in the Pod's namespace.
    pub(super) pod: &'a str,
    pub(super) netns: BorrowedFd<'a>,
    pub(super) pod_mac: [u8; 6],
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace, within a tokio runtime.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _events) = rtnetlink::new_connection()?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self { handle, _driver: driver })
    }

    /// The interface of that name, if there is one.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Link>, NetworkError> {
        match self.handle.link().get().match_name(name).execute().try_next().await {
            Ok(message) => Ok(message.map(|message| link_of(&message))),
            Err(error) if is_no_device(&error) => Ok(None),
            Err(error) => Err(failed(format!("look up interface {name}"))(error)),
        }
    }

    /// The interface of that name.
    pub(super) async fn get(&self, name: &str) -> Result<Link, NetworkError> {
        self.find(name).await?.ok_or_else(|| NetworkError::NoInterface { name: name.to_owned() })
    }

    /// Waits until packets pass an interface that was set up: its carrier is noticed by a worker of the kernel,
    /// and until then a bridge port drops what it is given, which costs the sender a second. Asking makes newer
    /// kernels (6.9) notice at once.
    pub(super) async fn wait_until_up(&self, index: u32) -> Result<(), NetworkError> {
        for _ in 0..CARRIER_TRIES {
            let found = self.handle.link().get().match_index(index).execute().try_next().await;
            let found = found.map_err(failed(format!("look up interface {index}")))?;
            if found.is_some_and(|message| passes_packets(&message)) {
                return Ok(());
            }
            tokio::time::sleep(CARRIER_PAUSE).await;
        }
        Err(NetworkError::NoCarrier { index })
    }

    /// The names of all ports of a bridge.
    pub(super) async fn ports(&self, bridge: u32) -> Result<Vec<Link>, NetworkError> {
        let links: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list interfaces".to_owned()))?;
        let is_port =
            |message: &&LinkMessage| message.attributes.contains(&LinkAttribute::Controller(bridge));
        Ok(links.iter().filter(is_port).map(link_of).collect())
    }

    /// Makes a bridge that is up.
    pub(super) async fn add_bridge(&self, name: &str, mac: [u8; 6]) -> Result<(), NetworkError> {
        let bridge = LinkBridge::new(name).mcast_snooping(false).address(mac.to_vec()).build();
        let made = self.handle.link().add(bridge).execute().await;
        made.map_err(failed(format!("make bridge {name}")))
    }

    /// Makes a veth pair; the host's end is up and a port of the bridge, the Pod's end is down.
    pub(super) async fn add_veth(&self, veth: &Veth<'_>) -> Result<(), NetworkError> {
        let peer = LinkUnspec::new_with_name(veth.pod)
            .address(veth.pod_mac.to_vec())
            .append_extra_attribute(LinkAttribute::NetNsFd(veth.netns.as_raw_fd()))
            .build();
        let pair = LinkVeth::new(veth.host, veth.pod)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .controller(veth.bridge)
            .up()
            .build();
        let made = self.handle.link().add(pair).execute().await;
        made.map_err(failed(format!("make veth pair {}", veth.host)))?;
        let host = self.get(veth.host).await?;
        // Bridged packets that netfilter translates (br_netfilter) may have to leave where they came in.
        let port = LinkBridgePort::new(host.index).hairpin(true).build();
        let set = self.handle.link().set_port(port).execute().await;
        set.map_err(failed(format!("set hairpin mode of {}", veth.host)))
    }

    /// Sets an interface up.
    pub(super) async fn up(&self, index: u32) -> Result<(), NetworkError> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(message).execute().await.map_err(failed(format!("set interface {index} up")))
    }

    /// Removes an interface; one that is not there is no error.
    pub(super) async fn remove(&self, name: &str) -> Result<(), NetworkError> {
        let Some(link) = self.find(name).await? else { return Ok(()) };
        match self.handle.link().del(link.index).execute().await {
            Err(error) if !is_no_device(&error) => Err(failed(format!("remove interface {name}"))(error)),
            _ => Ok(()),
        }
    }

    /// Gives an interface an address; it may have it already.
    pub(super) async fn address(&self, index: u32, ip: IpAddr, prefix: u8) -> Result<(), NetworkError> {
        let mut request = self.handle.address().add(index, ip, prefix).replace();
        if ip.is_ipv6() {
            // It is given out once: nobody has to wait until the kernel found nobody else with it.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await.map_err(failed(format!("give {ip}/{prefix} to interface {index}")))
    }

    /// Routes a range over an interface without a gateway; the route may exist.
    pub(super) async fn route(
        &self,
        range: IpNet,
        index: u32,
        source: Option<IpAddr>,
    ) -> Result<(), NetworkError> {
        let mut route = to(range).output_interface(index).scope(RouteScope::Link);
        if let Some(source) = source {
            prefer(&mut route, source);
        }
        self.add_route(route.build(), format!("route {range} over interface {index}")).await
    }

    /// Routes everything of the gateway's family over it.
    pub(super) async fn default_route(&self, gateway: IpAddr, index: u32) -> Result<(), NetworkError> {
        let mut route = all_of(IpFamily::of(gateway)).output_interface(index);
        by(&mut route, gateway);
        self.add_route(route.build(), format!("route everything over {gateway}")).await
    }

    /// Makes every address of a range an address of this node.
    pub(super) async fn local_route(&self, range: IpNet, loopback: u32) -> Result<(), NetworkError> {
        let route = to(range)
            .output_interface(loopback)
            .table_id(LOCAL_TABLE)
            .scope(RouteScope::Host)
            .kind(RouteType::Local);
        self.add_route(route.build(), format!("make {range} local")).await
    }

    /// Says which hardware address an address of an interface's link has, so that nobody is asked.
    pub(super) async fn neighbour(&self, index: u32, ip: IpAddr, mac: [u8; 6]) -> Result<(), NetworkError> {
        let entry = self.handle.neighbours().add(index, ip).link_layer_address(&mac).replace();
        entry.execute().await.map_err(failed(format!("make {ip} a neighbour of interface {index}")))
    }

    /// Adds a route, or puts it in the place of the one there is.
    pub(super) async fn add_route(&self, route: RouteMessage, step: String) -> Result<(), NetworkError> {
        self.handle.route().add(route).replace().execute().await.map_err(failed(step))
    }
}

/// The beginning of a route to a range.
pub(super) fn to(range: IpNet) -> RouteMessageBuilder<IpAddr> {
    let mut route = all_of(IpFamily::of(range.addr()));
    let message = route.get_mut();
    message.header.destination_prefix_length = range.prefix_len();
    message.attributes.push(RouteAttribute::Destination(range.network().into()));
    route
}

/// The beginning of a route to all addresses of a family.
pub(super) fn all_of(family: IpFamily) -> RouteMessageBuilder<IpAddr> {
    let mut route = RouteMessageBuilder::<IpAddr>::new();
    route.get_mut().header.address_family = match family {
        IpFamily::V4 => AddressFamily::Inet,
        IpFamily::V6 => AddressFamily::Inet6,
    };
    route
}

/// Makes the route one over a gateway of its family.
pub(super) fn by(route: &mut RouteMessageBuilder<IpAddr>, gateway: IpAddr) {
    route.get_mut().attributes.push(RouteAttribute::Gateway(gateway.into()));
}

/// Gives this address to packets of the node itself that take the route.
pub(super) fn prefer(route: &mut RouteMessageBuilder<IpAddr>, source: IpAddr) {
    route.get_mut().attributes.push(RouteAttribute::PrefSource(source.into()));
}

/// Whether an interface is up and, if it is a port of a bridge, the bridge forwards to it.
fn passes_packets(message: &LinkMessage) -> bool {
    let infos = message.attributes.iter().filter_map(|item| match item {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let ports = infos.flatten().filter_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => Some(port),
        _ => None,
    });
    let mut states = ports.flatten().filter(|info| matches!(info, InfoBridgePort::State(_)));
    message.attributes.contains(&LinkAttribute::OperState(State::Up))
        && states.all(|state| *state == InfoBridgePort::State(BridgePortState::Forwarding))
}

fn link_of(message: &LinkMessage) -> Link {
    let name = message.attributes.iter().find_map(|item| match item {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    Link { index: message.header.index, name: name.unwrap_or_default() }
}

fn is_no_device(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == NO_DEVICE)
}

/// What a request failed at.
pub(super) fn failed(step: String) -> impl FnOnce(rtnetlink::Error) -> NetworkError {
    move |source| NetworkError::Netlink { step, source }
}
