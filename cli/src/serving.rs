//! Where the API server listens, and where Pods find it.
//!
//! By default it listens on localhost for this machine's users, and for this node's Pods at the first address of their
//! range, the gateway, which nobody else is led to. A server that listens elsewhere is advertised there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::args::ListenArgs;

/// How many connections wait to be accepted, as tokio's own listeners have it.
const BACKLOG: u32 = 1024;

/// The bound sockets of an API server.
pub(crate) struct Serving {
    pub(crate) listeners: Vec<TcpListener>,
    /// Where `--listen` led to.
    pub(crate) address: SocketAddr,
    /// Where Pods find the server, if anywhere.
    pub(crate) advertised: Option<SocketAddr>,
}

/// The addresses of a machine, for a server that is not told which to advertise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Machine {
    /// Leads here from the Pods of this node only.
    pub(crate) gateway: Option<IpAddr>,
    /// Leads here from elsewhere.
    pub(crate) ip: Option<IpAddr>,
}

impl Serving {
    /// Binds.
    pub(crate) async fn open(args: &ListenArgs, machine: Machine) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(args.listen).await.with_context(|| {
            format!("cannot listen on {}; choose another address with --listen", args.listen)
        })?;
        let address = listener.local_addr()?;
        let mut listeners = vec![listener];
        let at = |ip| SocketAddr::new(ip, address.port());
        let advertised = match (args.advertise_address, address.ip()) {
            (Some(ip), _) => Some(at(ip)),
            (None, ip) if ip.is_unspecified() => machine.ip.map(at),
            (None, ip) if ip.is_loopback() => machine.gateway.map(at),
            (None, _) => Some(address),
        };
        if args.advertise_address.is_none()
            && address.ip().is_loopback()
            && let Some(gateway) = advertised
        {
            listeners.push(listen_early(gateway)?);
        }
        Ok(Self { listeners, address, advertised })
    }

    /// The address clients on this machine use.
    pub(crate) fn reachable(&self) -> SocketAddr {
        match self.address.ip() {
            ip if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, self.address.port())),
            _ => self.address,
        }
    }

    /// Where the server's certificate is to hold.
    pub(crate) fn names(&self, others: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
        let mut names = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        if self.address.is_ipv6() {
            names.push(Ipv6Addr::LOCALHOST.into());
        }
        let own = [Some(self.address.ip()), self.advertised.map(|address| address.ip())];
        for ip in others.into_iter().chain(own.into_iter().flatten()) {
            if !ip.is_unspecified() && !names.contains(&ip) {
                names.push(ip);
            }
        }
        names
    }
}

/// Listens on an address that an interface may get later: the bridge is made by the node, which needs the API first.
fn listen_early(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let why = || {
        format!(
            "cannot listen for Pods on {address}; say with --advertise-address where they find the server"
        )
    };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    rustix::net::sockopt::set_ip_freebind(&socket, true).with_context(why)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(why)?;
    socket.listen(BACKLOG).with_context(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn serving(listen: &str, advertise: Option<&str>) -> Serving {
        let args = ListenArgs {
            listen: listen.parse().unwrap(),
            advertise_address: advertise.map(|ip| ip.parse().unwrap()),
        };
        let machine =
            Machine { gateway: Some("10.244.0.1".parse().unwrap()), ip: Some("192.0.2.7".parse().unwrap()) };
        Serving::open(&args, machine).await.unwrap()
    }

    #[tokio::test]
    async fn pods_find_the_server_where_it_listens() {
        for (listen, advertise, expected, sockets) in [
            ("127.0.0.1:0", None, "10.244.0.1", 2),
            ("127.0.0.1:0", Some("192.0.2.8"), "192.0.2.8", 1),
            ("0.0.0.0:0", None, "192.0.2.7", 1),
            ("0.0.0.0:0", Some("192.0.2.8"), "192.0.2.8", 1),
        ] {
            let serving = serving(listen, advertise).await;
            let expected = SocketAddr::new(expected.parse().unwrap(), serving.address.port());
            assert_eq!(serving.advertised, Some(expected), "{listen} {advertise:?}");
            assert_eq!(serving.listeners.len(), sockets, "{listen} {advertise:?}");
            assert!(serving.reachable().ip().is_loopback());
        }
    }

    #[tokio::test]
    async fn the_certificate_holds_wherever_the_server_is_found() {
        let serving = serving("127.0.0.1:0", None).await;
        let names = serving.names(["10.96.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
        assert_eq!(
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.1", "10.96.0.1", "10.244.0.1"]
        );
    }
}
