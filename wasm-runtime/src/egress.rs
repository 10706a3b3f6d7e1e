//! Which addresses beyond its Pod a guest may reach.
//!
//! What is checked is the address that is connected to, after names were resolved: a name that leads elsewhere the next time
//! gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses of the link, where clouds answer for the credentials of their machines.
const LINK_LOCAL: [IpNet; 3] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    // The same of Amazon's, in IPv6.
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128)),
];
/// What a translator makes IPv4 of (RFC 6052).
const TRANSLATED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// What a Pod's guests may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Egress {
    /// All but addresses of the link.
    #[default]
    Usual,
    /// These ranges and nothing else.
    Only(Arc<[IpNet]>),
}

impl Egress {
    /// Ranges as `10.0.0.0/8, 192.0.2.7`; none of them is nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let range = |word: &str| word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
        words.map(range).collect::<Option<Vec<_>>>().map(|ranges| Self::Only(ranges.into()))
    }

    /// Whether the address may be reached.
    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        let ip = untranslated(ip.to_canonical());
        match self {
            Self::Usual => LINK_LOCAL.iter().all(|range| !range.contains(&ip)),
            Self::Only(ranges) => ranges.iter().any(|range| range.contains(&ip)),
        }
    }
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
        egress.allows(ip.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_link_are_out_of_reach_however_they_are_written() {
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
        ] {
            assert!(!allows(&Egress::Usual, ip), "{ip}");
        }
        for ip in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "64:ff9b::c000:201"] {
            assert!(allows(&Egress::Usual, ip), "{ip}");
        }
    }

    #[test]
    fn ranges_that_are_named_are_all_there_is() {
        let egress = Egress::parse("10.0.0.0/8, 192.0.2.7,2001:db8::/32").unwrap();
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
        assert!(allows(&Egress::parse("169.254.169.254").unwrap(), "169.254.169.254"));
        assert_eq!(Egress::parse(" "), Some(Egress::Only([].into())));
        for text in ["example.com", "10.0.0.0/33", "10.0.0.0/8;11.0.0.0/8"] {
            assert_eq!(Egress::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f:./, ]*") {
            if let Some(Egress::Only(ranges)) = Egress::parse(&text) {
                let written = ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                prop_assert_eq!(Egress::parse(&written), Some(Egress::Only(ranges)));
            }
        }
    }
}
