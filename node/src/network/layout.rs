//! How a node's Pod addresses are divided, in both families alike.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use wherry_api::ranges::{IpFamily, Ranges, numbered};

use super::NetworkError;

/// How many addresses a part of a range of IPv6 alone has at most: no node has as many Pods.
const MOST: u32 = 1 << 16;

/// The parts of a node's Pod range, of the one family that it has, or of IPv4 and, beside, of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Of the addresses that are written down.
    pub(crate) first: Part,
    /// Of those of IPv6 that follow from them: each has the number within its range that the IPv4 address of the same Pod has within its
    /// own, so who has which is written down once.
    pub(crate) beside: Option<Part>,
}

/// The parts of one family's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// For Pods with a network namespace.
    pub(crate) namespaced: IpNet,
    /// For Pods without one.
    pub(crate) local: IpNet,
    /// The bridge's address.
    pub(crate) gateway: IpAddr,
}

impl Layout {
    /// Divides the Pod ranges of a node.
    pub(crate) fn of(pods: Ranges) -> Result<Self, NetworkError> {
        let (first, beside) = match pods.of(IpFamily::V4) {
            Some(four) => (four, pods.of(IpFamily::V6)),
            None => (pods.primary(), None),
        };
        let size = half(first)?;
        let beside = beside.map(|range| Part::of(range, size)).transpose()?;
        Ok(Self { first: Part::of(first, size)?, beside })
    }

    /// The IPv6 address of the Pod with this one, where Pods have both.
    pub(crate) fn beside(&self, ip: IpAddr) -> Option<Ipv6Addr> {
        let number = bits(ip).wrapping_sub(bits(self.first.namespaced.network()));
        let beside = bits(self.beside?.namespaced.network()).checked_add(number)?;
        Some(Ipv6Addr::from_bits(beside))
    }

    /// The families that Pods have addresses of.
    pub(crate) fn families(&self) -> impl Iterator<Item = IpFamily> + use<> {
        [Some(self.first), self.beside].into_iter().flatten().map(|part| IpFamily::of(part.gateway))
    }

    /// The parts of a family.
    fn part(&self, family: IpFamily) -> Option<Part> {
        [Some(self.first), self.beside]
            .into_iter()
            .flatten()
            .find(|part| IpFamily::of(part.gateway) == family)
    }

    /// The part of Pods with a network namespace.
    pub(crate) fn namespaced(&self, family: IpFamily) -> Option<IpNet> {
        self.part(family).map(|part| part.namespaced)
    }

    /// The part of Pods without one.
    pub(crate) fn local(&self, family: IpFamily) -> Option<IpNet> {
        self.part(family).map(|part| part.local)
    }

    /// The bridge's address.
    pub(crate) fn gateway(&self, family: IpFamily) -> Option<IpAddr> {
        self.part(family).map(|part| part.gateway)
    }
}

impl Part {
    /// Two parts of so many addresses each.
    fn of(range: IpNet, size: u32) -> Result<Self, NetworkError> {
        let reason = "it has fewer addresses than the node's IPv4 range";
        let too_small = NetworkError::Cidr { cidr: range, reason };
        let range = range.trunc();
        let prefix = range.max_prefix_len() - u8::try_from(size.ilog2()).unwrap_or(u8::MAX);
        let parts = (numbered(range, 0), numbered(range, size), numbered(range, 1));
        let (Some(namespaced), Some(local), Some(gateway)) = parts else { return Err(too_small) };
        if range.prefix_len() >= prefix {
            return Err(too_small);
        }
        let net = |ip| IpNet::new_assert(ip, prefix);
        Ok(Self { namespaced: net(namespaced), local: net(local), gateway })
    }

    /// Whether a Pod of this node could have the address.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.namespaced.contains(&ip) || self.local.contains(&ip)
    }
}

/// How many addresses each part of the range has.
fn half(range: IpNet) -> Result<u32, NetworkError> {
    let (most, reason) = match range {
        IpNet::V4(_) => (1 << 31, "a node needs at least a /28"),
        IpNet::V6(_) => (MOST, "a node needs at least a /124"),
    };
    match range.max_prefix_len() - range.prefix_len() {
        0..4 => Err(NetworkError::Cidr { cidr: range, reason }),
        bits => Ok(1u32.checked_shl(u32::from(bits) - 1).unwrap_or(most).min(most)),
    }
}

/// An address as a number.
pub(super) fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(ranges: &str) -> Result<Layout, NetworkError> {
        Layout::of(ranges.parse().unwrap())
    }

    #[test]
    fn a_pod_has_the_same_number_in_both_families() {
        for ranges in ["10.244.3.0/24,fd00:0:0:3::/64", "fd00:0:0:3::/64,10.244.3.0/24"] {
            let layout = layout(ranges).unwrap();
            let six = layout.beside.unwrap();
            assert_eq!(
                (six.namespaced.to_string(), six.local.to_string()),
                ("fd00:0:0:3::/121".to_owned(), "fd00:0:0:3::80/121".to_owned())
            );
            assert_eq!(layout.beside(layout.first.gateway).map(IpAddr::V6), Some(six.gateway));
            for (four, number) in [("10.244.3.2", "2"), ("10.244.3.129", "81"), ("10.244.3.254", "fe")] {
                let expected = format!("fd00:0:0:3::{number}").parse().unwrap();
                assert_eq!(layout.beside(four.parse().unwrap()), Some(expected));
            }
        }
        assert_eq!(layout("10.244.3.0/24").unwrap().beside("10.244.3.2".parse().unwrap()), None);
    }

    #[test]
    fn a_node_of_ipv6_alone_has_parts_of_it() {
        let alone = layout("fd00:0:0:3::/64").unwrap();
        assert_eq!(alone.families().collect::<Vec<_>>(), [IpFamily::V6]);
        let Part { namespaced, local, gateway } = alone.first;
        assert_eq!(
            [namespaced.to_string(), local.to_string(), gateway.to_string()],
            ["fd00:0:0:3::/112", "fd00::3:0:0:1:0/112", "fd00:0:0:3::1"]
        );
        assert!(alone.first.contains("fd00:0:0:3::1:7".parse().unwrap()));
        assert!(!alone.first.contains("fd00:0:0:3::2:7".parse().unwrap()));
        assert_eq!(alone.beside("fd00:0:0:3::2".parse().unwrap()), None);
        assert_eq!(layout("fd00::/124").unwrap().first.local.to_string(), "fd00::8/125");
    }

    #[test]
    fn ranges_that_do_not_fit_together_are_refused() {
        assert!(layout("10.244.0.0/20,fd00::/116").is_ok());
        let text = |ranges| layout(ranges).unwrap_err().to_string();
        assert_eq!(
            text("10.244.0.0/20,fd00::/117"),
            "pod CIDR fd00::/117 cannot be used: it has fewer addresses than the node's IPv4 range"
        );
        assert_eq!(
            text("10.244.0.0/29"),
            "pod CIDR 10.244.0.0/29 cannot be used: a node needs at least a /28"
        );
        assert_eq!(text("fd00::/125"), "pod CIDR fd00::/125 cannot be used: a node needs at least a /124");
    }
}
