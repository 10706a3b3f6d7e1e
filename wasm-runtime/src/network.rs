//! What a pod's guests may reach and where they come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use wasmtime_wasi::sockets::SocketAddrUse;

use crate::egress::{Egress, is_for_all};
use crate::found::Found;

/// The network of one pod.
///
/// In a namespace of its own a guest may do what the namespace allows. Without one it lives in the node's, where it
/// is held to the pod's address: it listens only there, its connections come from there, and the node's loopback
/// services are out of its reach. `127.0.0.1` is the pod itself, as in every pod, and so is `0.0.0.0`. What is beyond the
/// pod is reached as its [`Egress`] says, in a namespace too.
#[derive(Clone, Debug)]
pub(crate) struct PodNetwork {
    /// The pod's address.
    pub(crate) ip: IpAddr,
    /// Its address of IPv6, if it has one beside.
    pub(crate) ip6: Option<Ipv6Addr>,
    /// Whether the pod has a namespace.
    pub(crate) own_namespace: bool,
    /// What is reached beyond the pod.
    pub(crate) egress: Egress,
    /// The node's own addresses.
    pub(crate) node: Arc<[IpAddr]>,
    /// Where hosts are that may be reached by their names.
    pub(crate) found: Arc<Found>,
}

impl PodNetwork {
    /// Whether a guest's socket may be used so.
    pub(crate) fn permits(&self, address: SocketAddr, operation: SocketAddrUse) -> bool {
        let ip = address.ip().to_canonical();
        match operation {
            SocketAddrUse::TcpBind | SocketAddrUse::TcpListen | SocketAddrUse::UdpBind => {
                self.own_namespace || self.has(ip)
            }
            SocketAddrUse::TcpAccept | SocketAddrUse::UdpReceive => true,
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => self.reaches(ip),
        }
    }

    /// Whether an address is the pod's own.
    fn has(&self, ip: IpAddr) -> bool {
        ip == self.ip || self.ip6.is_some_and(|ip6| ip == IpAddr::V6(ip6))
    }

    /// The pod's own address for sockets of this one's family; where it has none of that family, the one it has.
    fn own(&self, family: IpAddr) -> IpAddr {
        self.ip6.filter(|_| family.is_ipv6()).map_or(self.ip, IpAddr::V6)
    }

    /// From where, in the pod's own addresses, a connection to `target` comes, and where it leads: localhost is the pod in a namespace, too.
    pub(crate) fn ends(&self, target: SocketAddr) -> (IpAddr, SocketAddr) {
        let own = self.own(target.ip());
        let local = is_localhost(target.ip()) || is_unspecified(target.ip());
        (own, if local { SocketAddr::new(own, target.port()) } else { target })
    }

    /// The address a guest means by this one when it binds or connects.
    pub(crate) fn meant(&self, mut address: SocketAddr) -> SocketAddr {
        if !self.own_namespace && (is_unspecified(address.ip()) || is_localhost(address.ip())) {
            address.set_ip(self.own(address.ip()));
        }
        address
    }

    /// Whether connections to `ip`, as [`Self::meant`] gives it, are allowed.
    pub(crate) fn reaches(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let local = ip.is_loopback() || ip.is_unspecified();
        if self.has(ip) || self.own_namespace && local {
            return true;
        }
        let node = is_localhost(ip) || local && !self.ip.is_loopback() || ip.is_unspecified();
        let by_name = || self.found.has(ip) && is_for_all(ip, &self.node);
        !node && (self.egress.allows(ip, &self.node) || by_name())
    }

    /// A name led to these addresses; if it is one that may be reached, they may be.
    pub(crate) fn learn(&self, name: &str, addresses: &[IpAddr]) {
        if self.egress.names(name) {
            self.found.add(addresses);
        }
    }

    /// The local address of a connection to `target`, if it is not the kernel's to choose.
    pub(crate) fn source(&self, target: IpAddr) -> Option<IpAddr> {
        let own = self.own(target);
        // A loopback source reaches nothing beyond the machine.
        let usable = own.is_ipv4() == target.is_ipv4() && (!own.is_loopback() || target.is_loopback());
        (!self.own_namespace && usable).then_some(own)
    }
}

fn is_unspecified(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

fn is_localhost(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 1));

    fn pod(ip: &str) -> PodNetwork {
        PodNetwork {
            ip: ip.parse().unwrap(),
            ip6: None,
            own_namespace: false,
            egress: Egress::usual(Level::Privileged),
            node: Arc::new([NODE]),
            found: Arc::default(),
        }
    }

    fn permits(pod: &PodNetwork, address: &str, operation: SocketAddrUse) -> bool {
        pod.permits(address.parse().unwrap(), operation)
    }

    #[test]
    fn listens_only_on_its_own_address() {
        let pod = pod("10.244.0.130");
        assert!(permits(&pod, "10.244.0.130:80", SocketAddrUse::TcpBind));
        assert!(!permits(&pod, "10.244.0.131:80", SocketAddrUse::TcpBind));
        assert!(!permits(&pod, "0.0.0.0:80", SocketAddrUse::TcpBind));
        assert_eq!(pod.meant("0.0.0.0:80".parse().unwrap()), "10.244.0.130:80".parse().unwrap());
        assert_eq!(pod.meant("127.0.0.1:80".parse().unwrap()), "10.244.0.130:80".parse().unwrap());
    }

    #[test]
    fn a_pod_with_both_families_has_an_address_for_sockets_of_each() {
        let pod = PodNetwork { ip6: Some("fd00::82".parse().unwrap()), ..pod("10.244.0.130") };
        for own in ["10.244.0.130:80", "[fd00::82]:80"] {
            assert!(
                permits(&pod, own, SocketAddrUse::TcpBind) && permits(&pod, own, SocketAddrUse::TcpConnect)
            );
        }
        assert!(!permits(&pod, "[fd00::83]:80", SocketAddrUse::TcpBind));
        assert!(!permits(&pod, "[::]:80", SocketAddrUse::TcpBind));
        assert!(!permits(&pod, "[::1]:80", SocketAddrUse::TcpConnect));
        for (given, meant) in [
            ("0.0.0.0:80", "10.244.0.130:80"),
            ("127.0.0.1:80", "10.244.0.130:80"),
            ("[::]:80", "[fd00::82]:80"),
            ("[::1]:80", "[fd00::82]:80"),
            ("[fd00::90]:80", "[fd00::90]:80"),
        ] {
            assert_eq!(pod.meant(given.parse().unwrap()), meant.parse().unwrap());
        }
        assert_eq!(pod.source("fd00::90".parse().unwrap()), Some("fd00::82".parse().unwrap()));
        assert_eq!(pod.source("10.244.0.3".parse().unwrap()), Some(pod.ip));
    }

    #[test]
    fn localhost_is_the_pod_and_never_the_node() {
        for ip in ["10.244.0.130", "127.244.0.5"] {
            let pod = pod(ip);
            for own in ["127.0.0.1:80", "0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80"] {
                assert_eq!(pod.meant(own.parse().unwrap()).ip(), pod.ip);
            }
            assert!(!permits(&pod, "0.0.0.0:6443", SocketAddrUse::TcpConnect));
            assert!(!permits(&pod, "127.0.0.1:6443", SocketAddrUse::TcpConnect));
            assert!(!permits(&pod, "[::1]:6443", SocketAddrUse::TcpConnect));
            assert!(!permits(&pod, "[::ffff:127.0.0.1]:6443", SocketAddrUse::TcpConnect));
        }
        assert!(!permits(&pod("10.244.0.130"), "127.0.0.53:53", SocketAddrUse::UdpSend));
    }

    #[test]
    fn pods_of_the_loopback_network_reach_each_other() {
        let pod = pod("127.244.0.5");
        assert!(permits(&pod, "127.244.0.6:80", SocketAddrUse::TcpConnect));
        assert!(permits(&pod, "127.96.0.1:443", SocketAddrUse::TcpConnect));
        assert_eq!(pod.source("127.244.0.6".parse().unwrap()), Some(pod.ip));
        assert_eq!(pod.source("192.0.2.1".parse().unwrap()), None);
    }

    #[test]
    fn a_pod_with_a_namespace_is_held_by_it_and_by_its_egress() {
        let pod = PodNetwork { own_namespace: true, ..pod("10.244.0.2") };
        assert!(permits(&pod, "0.0.0.0:80", SocketAddrUse::TcpBind));
        assert!(permits(&pod, "127.0.0.1:80", SocketAddrUse::TcpConnect));
        assert_eq!(pod.source("10.244.0.3".parse().unwrap()), None);
        assert!(!permits(&pod, "169.254.169.254:80", SocketAddrUse::TcpConnect));
        assert!(!permits(&pod, "169.254.169.254:53", SocketAddrUse::UdpSend));
        let alone = PodNetwork { egress: Egress::parse("", Level::Privileged).unwrap(), ..pod };
        assert!(permits(&alone, "127.0.0.1:80", SocketAddrUse::TcpConnect));
        assert!(permits(&alone, "10.244.0.2:80", SocketAddrUse::TcpConnect));
        assert!(!permits(&alone, "10.244.0.3:80", SocketAddrUse::TcpConnect));
    }

    #[test]
    fn a_host_that_is_named_is_reached_where_it_was_found_but_not_on_the_node() {
        let egress = Egress::parse("example.com", Level::Privileged).unwrap();
        let pod = PodNetwork { egress, ..pod("10.244.0.130") };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        pod.learn("example.org", &[ip("192.0.2.8")]);
        pod.learn("example.com", &[ip("192.0.2.7"), ip("169.254.169.254"), ip("127.0.0.1"), NODE]);
        assert!(pod.reaches(ip("192.0.2.7")) && !pod.reaches(ip("192.0.2.8")));
        for kept in ["169.254.169.254", "127.0.0.1", "10.244.0.1"] {
            assert!(!pod.reaches(ip(kept)), "{kept}");
        }
    }
}
