//! The addresses of a one-machine cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use ipnet::{IpNet, Ipv4Net};
use wherry_api::ranges::{IpFamily, Ranges, numbered};
use wherry_node::NetworkMode;

use crate::args::{NetworkArg, NodeArgs};

/// How long the prefixes of one node's parts of the cluster's ranges are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodePrefixes {
    pub(crate) four: u8,
    pub(crate) six: u8,
}

impl NodePrefixes {
    /// The usual ones.
    pub(crate) const DEFAULT: Self = Self { four: 24, six: 64 };

    fn of(self, family: IpFamily) -> u8 {
        match family {
            IpFamily::V4 => self.four,
            IpFamily::V6 => self.six,
        }
    }
}

/// The addresses under which somebody is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) ip: IpAddr,
    pub(crate) ip6: Option<Ipv6Addr>,
}

impl Addresses {
    /// All of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = IpAddr> {
        [self.ip].into_iter().chain(self.ip6.map(IpAddr::V6))
    }
}

impl FromStr for Addresses {
    type Err = String;

    /// One address, or one of IPv4 and one of IPv6 with a comma between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| part.trim().parse::<IpAddr>().map_err(|error| format!("{part:?}: {error}"));
        match text.split_once(',') {
            None => Ok(Self { ip: parse(text)?, ip6: None }),
            Some((first, second)) => match (parse(first)?, parse(second)?) {
                (ip @ IpAddr::V4(_), IpAddr::V6(ip6)) => Ok(Self { ip, ip6: Some(ip6) }),
                _ => Err("give the address of IPv4 first, then that of IPv6".to_owned()),
            },
        }
    }
}

/// How Pods and Services are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) mode: NetworkMode,
    pub(crate) cluster_cidr: Ranges,
    pub(crate) service_cidr: Ranges,
    /// This node's parts of the cluster's ranges: the first, unless it is given others.
    pub(crate) pod_cidr: Ranges,
    /// Whom Pods ask for names.
    pub(crate) dns: Addresses,
}

impl Network {
    /// Resolves what the command line leaves open, where nodes have parts whose prefixes are this long.
    pub(crate) fn resolve(args: &NodeArgs, prefixes: NodePrefixes, root: bool) -> anyhow::Result<Self> {
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
        let default = |octets: [u8; 4]| -> anyhow::Result<Ranges> {
            Ok(IpNet::V4(Ipv4Net::new(octets.into(), 16)?).into())
        };
        let cluster_cidr = args.cluster_cidr.map_or_else(|| default(cluster), Ok)?;
        let service_cidr = args.service_cidr.map_or_else(|| default(service), Ok)?;
        check(mode, "--cluster-cidr", cluster_cidr)?;
        check(mode, "--service-cidr", service_cidr)?;
        ensure!(
            !cluster_cidr.overlaps(service_cidr),
            "--cluster-cidr {cluster_cidr} and --service-cidr {service_cidr} overlap; use ranges apart"
        );
        ensure!(
            service_cidr.families().all(|family| cluster_cidr.of(family).is_some()),
            "--service-cidr {service_cidr} has a family that --cluster-cidr {cluster_cidr} has not; give both a range of it"
        );
        let first = IpFamily::of(cluster_cidr.primary().addr());
        ensure!(
            service_cidr.families().next() == Some(first),
            "--service-cidr {service_cidr} has no range of {first}, as --cluster-cidr {cluster_cidr} has; give both one"
        );
        let pod_cidr = first_parts(cluster_cidr, prefixes)?;
        let dns = args.cluster_dns.map_or_else(|| tenth(service_cidr), Ok)?;
        for ip in dns.iter() {
            let family = IpFamily::of(ip);
            ensure!(
                cluster_cidr.of(family).is_some(),
                "--cluster-dns {ip}: Pods have no addresses of {family}; see --cluster-cidr"
            );
        }
        ensure!(
            IpFamily::of(dns.ip) == first,
            "--cluster-dns {}: give an address of {first}, or one before it",
            dns.ip
        );
        Ok(Self { mode, cluster_cidr, service_cidr, pod_cidr, dns })
    }

    /// The addresses of Services at which nodes answer for names, if they do.
    pub(crate) fn own_dns(&self) -> Vec<IpAddr> {
        self.dns.iter().filter(|ip| self.service_cidr.contains(*ip)).collect()
    }

    /// The address of this node that its Pods are led to, and that none of them has.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        numbered(self.pod_cidr.primary(), 1)
    }
}

/// The tenth address of each range of Services.
fn tenth(ranges: Ranges) -> anyhow::Result<Addresses> {
    let tenth = |range: IpNet| {
        numbered(range, 10).with_context(|| {
            format!("--service-cidr {range} has no tenth address for DNS; name one with --cluster-dns")
        })
    };
    let ip6 = ranges.secondary().map(tenth).transpose()?;
    let ip6 = ip6.and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
    Ok(Addresses { ip: tenth(ranges.primary())?, ip6 })
}

/// The first part of each range.
fn first_parts(ranges: Ranges, prefixes: NodePrefixes) -> anyhow::Result<Ranges> {
    let first = |range: IpNet| {
        let prefix = prefixes.of(IpFamily::of(range.addr()));
        let first = range.subnets(prefix).ok().and_then(|mut parts| parts.next());
        first.with_context(|| format!("--cluster-cidr {range} is too small; use a /{prefix} or larger"))
    };
    Ok(Ranges::new(first(ranges.primary())?, ranges.secondary().map(first).transpose()?)?)
}

fn check(mode: NetworkMode, flag: &str, ranges: Ranges) -> anyhow::Result<()> {
    let first = ranges.primary();
    ensure!(
        first.addr().is_ipv4() || ranges.secondary().is_none(),
        "{flag} {ranges}: of two ranges give that of IPv4 first"
    );
    if mode == NetworkMode::Loopback {
        ensure!(
            ranges.of(IpFamily::V6).is_none(),
            "{flag} {ranges}: IPv6 needs --network bridge, as it has one loopback address only"
        );
        ensure!(
            first.addr().is_loopback() && first.prefix_len() > 8,
            "{flag} {first}: in loopback mode use a part of 127.0.0.0/8"
        );
    } else {
        ensure!(!first.addr().is_loopback(), "{flag} {first}: loopback addresses need --network loopback");
    }
    Ok(())
}

/// The node's own addresses: those its default routes leave from. Without one of the family that Pods have, or have first, it is the
/// first address of its bridge.
pub(crate) fn node_ips(network: &Network) -> Addresses {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if network.mode == NetworkMode::Loopback {
        return Addresses { ip: localhost, ip6: None };
    }
    let first = IpFamily::of(network.cluster_cidr.primary().addr());
    let ip = routed_source(first).or_else(|| network.gateway()).unwrap_or(localhost);
    let beside = network.cluster_cidr.secondary().and_then(|range| routed_source(IpFamily::of(range.addr())));
    let ip6 = beside.and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
    Addresses { ip, ip6 }
}

/// The source address towards the outside.
pub(crate) fn routed_source(family: IpFamily) -> Option<IpAddr> {
    let outside: IpAddr = match family {
        IpFamily::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpFamily::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let is_of_link = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    source_towards(outside).filter(|ip| !is_of_link(ip))
}

/// Connecting a UDP socket sends nothing: it only asks the routing table.
fn source_towards(outside: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if outside.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(SocketAddr::new(outside, 9)).ok()?;
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
            Command::Up(args) => Network::resolve(&args.node, args.controllers.prefixes(), root),
            _ => unreachable!("`up` was parsed"),
        }
    }

    #[test]
    fn root_gets_a_bridge_and_a_user_gets_loopback() {
        assert_eq!(resolve(&[], true).unwrap().mode, NetworkMode::Bridge);
        let user = resolve(&[], false).unwrap();
        assert_eq!(user.mode, NetworkMode::Loopback);
        assert_eq!(user.pod_cidr, "127.244.0.0/24".parse().unwrap());
    }

    #[test]
    fn the_node_takes_the_first_part_of_the_cluster_range() {
        let network = resolve(&["--cluster-cidr", "10.7.0.0/16"], true).unwrap();
        assert_eq!(network.pod_cidr, "10.7.0.0/24".parse().unwrap());
        let network = resolve(&["--node-cidr-mask-size", "26"], true).unwrap();
        assert_eq!(network.pod_cidr, "10.244.0.0/26".parse().unwrap());
    }

    #[test]
    fn nodes_answer_at_the_tenth_address_of_services_or_not_at_all() {
        let tenth = resolve(&["--service-cidr", "10.43.0.0/16"], true).unwrap();
        assert_eq!(tenth.own_dns(), [IpAddr::from([10, 43, 0, 10])]);
        let elsewhere = resolve(&["--cluster-dns", "169.254.20.10"], true).unwrap();
        assert_eq!((elsewhere.dns.ip, elsewhere.own_dns()), (IpAddr::from([169, 254, 20, 10]), vec![]));
        let small = format!("{:#}", resolve(&["--service-cidr", "10.43.0.0/29"], true).unwrap_err());
        assert!(small.contains("--cluster-dns"), "{small}");
        let six = format!("{:#}", resolve(&["--cluster-dns", "10.96.0.10,fd00:96::a"], true).unwrap_err());
        assert!(six.contains("no addresses of IPv6"), "{six}");
    }

    #[test]
    fn impossible_ranges_say_what_to_use() {
        let text = |flags: &[&str], root| format!("{:#}", resolve(flags, root).unwrap_err());
        assert!(text(&["--network", "bridge"], false).contains("needs root"));
        assert!(text(&["--cluster-cidr", "10.0.0.0/28"], true).contains("use a /24 or larger"));
        assert!(text(&["--cluster-cidr", "10.96.0.0/16"], true).contains("overlap"));
        assert!(text(&["--cluster-cidr", "10.1.0.0/16"], false).contains("a part of 127.0.0.0/8"));
        let both = "10.7.0.0/16,fd00:7::/56";
        assert!(text(&["--cluster-cidr", "fd00::/64"], true).contains("give both a range"));
        assert!(text(&["--cluster-cidr", "fd00::/56,10.7.0.0/16"], true).contains("that of IPv4 first"));
        assert!(text(&["--cluster-cidr", both], false).contains("needs --network bridge"));
        assert!(text(&["--service-cidr", "10.8.0.0/16,fd00:8::/112"], true).contains("give both a range"));
        assert!(text(&["--cluster-cidr", "10.7.0.0/16,fd00:7::/112"], true).contains("use a /64 or larger"));
        let six = ["--cluster-cidr", "fd00:7::/56", "--service-cidr", "fd00:8::/112"];
        assert!(text(&six, false).contains("needs --network bridge"));
        assert!(
            text(&[&six[..], &["--cluster-dns", "10.8.0.10"]].concat(), true)
                .contains("no addresses of IPv4")
        );
        let services = ["--cluster-cidr", both, "--service-cidr", "fd00:8::/112"];
        assert!(text(&services, true).contains("no range of IPv4"));
        let overlap = ["--cluster-cidr", both, "--service-cidr", "10.8.0.0/16,fd00:7::/112"];
        assert!(text(&overlap, true).contains("overlap"));
    }

    #[test]
    fn a_node_of_both_families_has_a_part_of_both_ranges() {
        let flags =
            ["--cluster-cidr", "10.7.0.0/16,fd00:7::/56", "--service-cidr", "10.8.0.0/16,fd00:8::/112"];
        let network = resolve(&flags, true).unwrap();
        assert_eq!(network.pod_cidr, "10.7.0.0/24,fd00:7::/64".parse().unwrap());
        assert_eq!(network.own_dns(), [IpAddr::from([10, 8, 0, 10]), "fd00:8::a".parse().unwrap()]);
        let own_four = [&flags[..], &["--cluster-dns", "10.8.0.53,2001:db8::53"]].concat();
        assert_eq!(resolve(&own_four, true).unwrap().own_dns(), [IpAddr::from([10, 8, 0, 53])]);
        let more = [&flags[..], &["--node-cidr-mask-size-ipv6", "80"]].concat();
        assert_eq!(resolve(&more, true).unwrap().pod_cidr, "10.7.0.0/24,fd00:7::/80".parse().unwrap());
    }

    #[test]
    fn a_node_of_ipv6_alone_has_a_part_of_it_and_an_address_that_is_not_the_first() {
        let flags = ["--cluster-cidr", "fd00:7::/56", "--service-cidr", "fd00:8::/112"];
        let network = resolve(&flags, true).unwrap();
        assert_eq!(network.pod_cidr, "fd00:7::/64".parse().unwrap());
        assert_eq!(network.own_dns(), ["fd00:8::a".parse::<IpAddr>().unwrap()]);
        assert_eq!(network.gateway(), "fd00:7::1".parse().ok());
        let own = node_ips(&network);
        assert!(own.ip.is_ipv6() && own.ip6.is_none(), "{own:?}");
    }

    #[test]
    fn a_node_is_reached_at_an_address_or_one_of_each_family() {
        let ip = IpAddr::from([192, 0, 2, 7]);
        assert_eq!("192.0.2.7".parse(), Ok(Addresses { ip, ip6: None }));
        let ip6 = Some("2001:db8::7".parse().unwrap());
        assert_eq!("192.0.2.7,2001:db8::7".parse(), Ok(Addresses { ip, ip6 }));
        for text in ["", "node", "2001:db8::7,192.0.2.7", "192.0.2.7,192.0.2.8", "192.0.2.7,2001:db8::7,::1"]
        {
            assert!(text.parse::<Addresses>().is_err(), "{text}");
        }
    }
}
