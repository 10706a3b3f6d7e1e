//! The addresses of a one-machine cluster.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Context as _, ensure};
use ipnet::{IpNet, Ipv4Net};
use wherry_node::NetworkMode;

use crate::args::{NetworkArg, NodeArgs};

/// Usual prefix length of one node's part of the cluster range.
pub(crate) const NODE_PREFIX: u8 = 24;

/// How Pods and Services are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) mode: NetworkMode,
    pub(crate) cluster_cidr: IpNet,
    pub(crate) service_cidr: IpNet,
    /// This node's part of the cluster range: the first, unless it is given another.
    pub(crate) pod_cidr: IpNet,
    /// Whom Pods ask for names.
    pub(crate) dns: IpAddr,
}

impl Network {
    /// Resolves what the command line leaves open, where nodes have parts whose prefixes are this long.
    pub(crate) fn resolve(args: &NodeArgs, node_prefix: u8, root: bool) -> anyhow::Result<Self> {
        let mode = match args.network {
            NetworkArg::Auto if root => NetworkMode::Bridge,
            NetworkArg::Auto | NetworkArg::Loopback => NetworkMode::Loopback,
            NetworkArg::Bridge => {
                ensure!(root, "--network bridge needs root; use --network loopback (wasm Pods only) or sudo");
                NetworkMode::Bridge
            }
        };
        let (cluster, service) = match mode {
            NetworkMode::Bridge => ([10, 244, 0, 0], [10, 96, 0, 0]),
            NetworkMode::Loopback => ([127, 244, 0, 0], [127, 96, 0, 0]),
        };
        let default =
            |octets: [u8; 4]| -> anyhow::Result<IpNet> { Ok(Ipv4Net::new(octets.into(), 16)?.into()) };
        let cluster_cidr = args.cluster_cidr.map_or_else(|| default(cluster), Ok)?;
        let service_cidr = args.service_cidr.map_or_else(|| default(service), Ok)?;
        check(mode, "--cluster-cidr", cluster_cidr)?;
        check(mode, "--service-cidr", service_cidr)?;
        ensure!(
            !cluster_cidr.contains(&service_cidr) && !service_cidr.contains(&cluster_cidr),
            "--cluster-cidr {cluster_cidr} and --service-cidr {service_cidr} overlap; use ranges apart"
        );
        let pod_cidr =
            cluster_cidr.subnets(node_prefix).ok().and_then(|mut subnets| subnets.next()).with_context(
                || format!("--cluster-cidr {cluster_cidr} is too small; use a /{node_prefix} or larger"),
            )?;
        let dns = args.cluster_dns.or_else(|| service_cidr.hosts().nth(9)).with_context(|| {
            format!("--service-cidr {service_cidr} has no tenth address for DNS; name one with --cluster-dns")
        })?;
        ensure!(dns.is_ipv4(), "--cluster-dns {dns}: only IPv4 addresses are supported");
        Ok(Self { mode, cluster_cidr, service_cidr, pod_cidr, dns })
    }

    /// The address of Services at which nodes answer for names, if they do.
    pub(crate) fn own_dns(&self) -> Option<IpAddr> {
        Some(self.dns).filter(|ip| self.service_cidr.contains(ip))
    }

    /// The address of this node that its Pods are led to, and that none of them has.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        self.pod_cidr.hosts().next()
    }
}

fn check(mode: NetworkMode, flag: &str, cidr: IpNet) -> anyhow::Result<()> {
    ensure!(matches!(cidr, IpNet::V4(_)), "{flag} {cidr}: only IPv4 ranges are supported");
    if mode == NetworkMode::Loopback {
        ensure!(
            cidr.addr().is_loopback() && cidr.prefix_len() > 8,
            "{flag} {cidr}: in loopback mode use a part of 127.0.0.0/8"
        );
    } else {
        ensure!(!cidr.addr().is_loopback(), "{flag} {cidr}: loopback addresses need --network loopback");
    }
    Ok(())
}

/// The node's own address: the one its default route leaves from, else the first address of its bridge.
pub(crate) fn node_ip(network: &Network) -> IpAddr {
    match network.mode {
        NetworkMode::Loopback => IpAddr::V4(Ipv4Addr::LOCALHOST),
        NetworkMode::Bridge => {
            routed_source().or_else(|| network.gateway()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
    }
}

/// The source address towards the outside. Connecting a UDP socket sends nothing: it only asks the routing table.
pub(crate) fn routed_source() -> Option<IpAddr> {
    let outside = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(outside).ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn resolve(flags: &[&str], root: bool) -> anyhow::Result<Network> {
        let cli = Cli::parse_from(["wherry", "up"].iter().chain(flags));
        match cli.command {
            Command::Up(args) => Network::resolve(&args.node, args.controllers.node_cidr_mask_size, root),
            _ => unreachable!("`up` was parsed"),
        }
    }

    #[test]
    fn root_gets_a_bridge_and_a_user_gets_loopback() {
        assert_eq!(resolve(&[], true).unwrap().mode, NetworkMode::Bridge);
        let user = resolve(&[], false).unwrap();
        assert_eq!(user.mode, NetworkMode::Loopback);
        assert_eq!(user.pod_cidr, "127.244.0.0/24".parse::<IpNet>().unwrap());
    }

    #[test]
    fn the_node_takes_the_first_part_of_the_cluster_range() {
        let network = resolve(&["--cluster-cidr", "10.7.0.0/16"], true).unwrap();
        assert_eq!(network.pod_cidr, "10.7.0.0/24".parse::<IpNet>().unwrap());
        let network = resolve(&["--node-cidr-mask-size", "26"], true).unwrap();
        assert_eq!(network.pod_cidr, "10.244.0.0/26".parse::<IpNet>().unwrap());
    }

    #[test]
    fn nodes_answer_at_the_tenth_address_of_services_or_not_at_all() {
        let tenth = resolve(&["--service-cidr", "10.43.0.0/16"], true).unwrap();
        assert_eq!(tenth.own_dns(), Some(IpAddr::from([10, 43, 0, 10])));
        let elsewhere = resolve(&["--cluster-dns", "169.254.20.10"], true).unwrap();
        assert_eq!((elsewhere.dns, elsewhere.own_dns()), (IpAddr::from([169, 254, 20, 10]), None));
        let small = format!("{:#}", resolve(&["--service-cidr", "10.43.0.0/29"], true).unwrap_err());
        assert!(small.contains("--cluster-dns"), "{small}");
    }

    #[test]
    fn impossible_ranges_say_what_to_use() {
        let text = |flags: &[&str], root| format!("{:#}", resolve(flags, root).unwrap_err());
        assert!(text(&["--network", "bridge"], false).contains("needs root"));
        assert!(text(&["--cluster-cidr", "10.0.0.0/28"], true).contains("use a /24 or larger"));
        assert!(text(&["--cluster-cidr", "10.96.0.0/16"], true).contains("overlap"));
        assert!(text(&["--cluster-cidr", "10.1.0.0/16"], false).contains("a part of 127.0.0.0/8"));
        assert!(text(&["--cluster-cidr", "fd00::/64"], true).contains("only IPv4"));
    }
}
