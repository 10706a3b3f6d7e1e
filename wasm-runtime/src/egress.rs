//! Which addresses beyond its Pod a guest may reach.
//!
//! What is checked is the address that is connected to, after names were resolved: a name that leads elsewhere the next time
//! gains nothing. A host that is named may be reached at the addresses that were found for it lately ([`Found`](crate::found::Found)),
//! but never at one of the link or of the node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::level::Level;

/// Addresses of the link, where clouds answer for the credentials of their machines.
const LINK_LOCAL: [IpNet; 3] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    // The same of Amazon's, in IPv6.
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128)),
];
/// What a translator makes IPv4 of (RFC 6052).
const TRANSLATED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// What a Pod's guests may reach beyond the Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Egress {
    /// None: all.
    only: Option<Arc<Named>>,
    /// Whether the node is reached as by any Pod, and what is out of reach for all may be named: addresses of the link.
    names_any: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    ranges: Vec<IpNet>,
    hosts: Vec<Host>,
}

/// A host by its name, or all hosts below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    name: String,
    below: bool,
}

impl Egress {
    /// What is reached in a namespace of this level by a Pod that names nothing.
    pub(crate) fn usual(level: Level) -> Self {
        let nothing = || Arc::new(Named::default());
        Self { only: (level == Level::Restricted).then(nothing), names_any: level == Level::Privileged }
    }

    /// Ranges and hosts as `10.0.0.0/8, 192.0.2.7, example.com, *.example.com`; none of them is nothing.
    pub(crate) fn parse(text: &str, level: Level) -> Option<Self> {
        let mut named = Named::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from)) {
                Some(range) => named.ranges.push(range),
                None => named.hosts.push(Host::parse(word)?),
            }
        }
        Some(Self { only: Some(Arc::new(named)), ..Self::usual(level) })
    }

    /// Whether the address may be reached, on a node that has these.
    pub(crate) fn allows(&self, ip: IpAddr, node: &[IpAddr]) -> bool {
        let ip = untranslated(ip.to_canonical());
        match &self.only {
            None => is_for_all(ip, if self.names_any { &[] } else { node }),
            Some(named) => {
                named.ranges.iter().any(|range| range.contains(&ip))
                    && (self.names_any || is_for_all(ip, node))
            }
        }
    }

    /// Whether a host may be reached by this name, wherever it leads.
    pub(crate) fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.only.as_ref().is_some_and(|named| named.hosts.iter().any(|known| known.is(&host)))
    }

    /// Whether it may be asked where a name leads: a question reaches others, too.
    pub(crate) fn asks(&self, host: &str) -> bool {
        self.only.as_ref().is_none_or(|named| !named.ranges.is_empty()) || self.names(host)
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |domain| (domain, true));
        let label = |label: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(known)
        };
        // A last label of digits would be an address that is mistyped.
        let last = name.rsplit('.').next()?;
        let is_name = name.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit());
        (is_name && name.len() <= 253).then(|| Self { name: name.to_ascii_lowercase(), below })
    }

    fn is(&self, host: &str) -> bool {
        if !self.below {
            return host == self.name;
        }
        host.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

/// Whether an address may be reached wherever a name leads: it is not of the link, and not the node's.
pub(crate) fn is_for_all(ip: IpAddr, node: &[IpAddr]) -> bool {
    let ip = untranslated(ip.to_canonical());
    LINK_LOCAL.iter().all(|range| !range.contains(&ip)) && !node.contains(&ip)
}

/// The address that a translator would lead to.
fn untranslated(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if TRANSLATED.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(egress: &Egress, ip: &str) -> bool {
        egress.allows(ip.parse().unwrap(), &["192.0.2.99".parse().unwrap()])
    }

    fn parse(text: &str) -> Option<Egress> {
        Egress::parse(text, Level::Privileged)
    }

    #[test]
    fn addresses_of_the_link_and_the_node_are_out_of_reach_however_they_are_written() {
        let usual = Egress::usual(Level::Baseline);
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
            "192.0.2.99",
            "::ffff:192.0.2.99",
        ] {
            assert!(!allows(&usual, ip), "{ip}");
            assert!(!allows(&Egress::parse("0.0.0.0/0, ::/0", Level::Baseline).unwrap(), ip), "{ip}");
        }
        let pod = Egress::usual(Level::Privileged);
        assert!(allows(&pod, "192.0.2.99") && !allows(&pod, "169.254.169.254"), "any Pod reaches its node");
        for ip in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "64:ff9b::c000:201"] {
            assert!(allows(&usual, ip), "{ip}");
            assert!(!allows(&Egress::usual(Level::Restricted), ip), "{ip}");
        }
    }

    #[test]
    fn ranges_that_are_named_are_all_there_is() {
        let egress = parse("10.0.0.0/8, 192.0.2.7,2001:db8::/32").unwrap();
        for (ip, allowed) in [
            ("10.1.2.3", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:192.0.2.7", true),
            ("2001:db8::1", true),
            ("169.254.169.254", false),
        ] {
            assert_eq!(allows(&egress, ip), allowed, "{ip}");
        }
        for named in ["169.254.169.254", "192.0.2.99"] {
            assert!(allows(&parse(named).unwrap(), named));
            assert!(!allows(&Egress::parse(named, Level::Restricted).unwrap(), named));
        }
        assert!(!allows(&parse(" ").unwrap(), "192.0.2.1"));
        for text in ["exam ple.com", "10.0.0.0/33", "10.0.0.0/8;11.0.0.0/8", "10.0.0.300", "*", "*.", "a..b"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn hosts_are_named_alone_or_with_all_below_a_domain() {
        let egress = parse("db.example.com, *.example.org").unwrap();
        for (host, named) in [
            ("db.example.com", true),
            ("DB.Example.com.", true),
            ("x.db.example.com", false),
            ("example.com", false),
            ("a.example.org", true),
            ("b.a.example.org", true),
            ("example.org", false),
            (".example.org", false),
            ("notexample.org", false),
        ] {
            assert_eq!((egress.names(host), egress.asks(host)), (named, named), "{host}");
        }
        assert!(
            !Egress::usual(Level::Privileged).names("a.b") && Egress::usual(Level::Privileged).asks("a.b")
        );
        assert!(!Egress::usual(Level::Restricted).asks("a.b"));
        assert!(parse("10.0.0.0/8").unwrap().asks("a.b"), "to learn which of its addresses may be reached");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-z*_.:/, -]*") {
            if let Some(egress) = parse(&text) {
                let named = egress.only.clone().unwrap();
                let ranges = named.ranges.iter().map(ToString::to_string);
                let hosts = named.hosts.iter().map(|host| format!("{}{}", if host.below { "*." } else { "" }, host.name));
                let written = ranges.chain(hosts).collect::<Vec<_>>().join(", ");
                prop_assert_eq!(parse(&written), Some(egress));
            }
        }
    }
}
