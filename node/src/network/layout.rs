//! How a node's Pod addresses are divided, in both families alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use wherry_api::ranges::{IpFamily, Ranges};

use super::NetworkError;
use super::ipam::ipv4;

/// The parts of a node's Pod range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// For Pods with a network namespace.
    pub(crate) namespaced: Ipv4Net,
    /// For Pods without one.
    pub(crate) local: Ipv4Net,
    /// The bridge's address.
    pub(crate) gateway: Ipv4Addr,
    /// The same of IPv6, where Pods have addresses of both families.
    pub(crate) six: Option<Six>,
}

/// The parts of the IPv6 range. An address has the number within it that the IPv4 address of the same Pod has within its own range,
/// so who has which is written down once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Six {
    pub(crate) namespaced: Ipv6Net,
    pub(crate) local: Ipv6Net,
    pub(crate) gateway: Ipv6Addr,
}

impl Layout {
    /// Divides the Pod ranges of a node.
    pub(crate) fn of(pods: Ranges) -> Result<Self, NetworkError> {
        let range = ipv4(pods)?;
        let size = 1u32 << (32 - range.prefix_len() - 1);
        let first = u32::from(range.network());
        let half = |start: u32| Ipv4Net::new(Ipv4Addr::from(start), range.prefix_len() + 1);
        let (Ok(namespaced), Ok(local)) = (half(first), half(first + size)) else {
            return Err(NetworkError::Cidr { cidr: range.into(), reason: "it cannot be halved" });
        };
        let six = match pods.of(IpFamily::V6) {
            Some(IpNet::V6(six)) => Some(Six::of(six, size)?),
            _ => None,
        };
        Ok(Self { namespaced, local, gateway: Ipv4Addr::from(first + 1), six })
    }

    /// The IPv6 address of the Pod with this one, where Pods have both.
    pub(crate) fn six_of(&self, ip: Ipv4Addr) -> Option<Ipv6Addr> {
        let number = u32::from(ip).wrapping_sub(u32::from(self.namespaced.network()));
        self.six.map(|six| six.numbered(number))
    }

    /// The families that Pods have addresses of.
    pub(crate) fn families(&self) -> impl Iterator<Item = IpFamily> + use<> {
        [Some(IpFamily::V4), self.six.map(|_| IpFamily::V6)].into_iter().flatten()
    }

    /// The part of Pods with a network namespace.
    pub(crate) fn namespaced(&self, family: IpFamily) -> Option<IpNet> {
        match family {
            IpFamily::V4 => Some(self.namespaced.into()),
            IpFamily::V6 => self.six.map(|six| six.namespaced.into()),
        }
    }

    /// The part of Pods without one.
    pub(crate) fn local(&self, family: IpFamily) -> Option<IpNet> {
        match family {
            IpFamily::V4 => Some(self.local.into()),
            IpFamily::V6 => self.six.map(|six| six.local.into()),
        }
    }

    /// The bridge's address.
    pub(crate) fn gateway(&self, family: IpFamily) -> Option<IpAddr> {
        match family {
            IpFamily::V4 => Some(self.gateway.into()),
            IpFamily::V6 => self.six.map(|six| six.gateway.into()),
        }
    }
}

impl Six {
    /// Two parts of as many addresses as those of IPv4 have.
    fn of(range: Ipv6Net, size: u32) -> Result<Self, NetworkError> {
        let prefix = 128 - u8::try_from(size.ilog2()).unwrap_or(u8::MAX);
        if range.prefix_len() >= prefix {
            let reason = "it has fewer addresses than the node's IPv4 range";
            return Err(NetworkError::Cidr { cidr: range.into(), reason });
        }
        let first = u128::from(range.network());
        let part = |start: u128| Ipv6Net::new_assert(Ipv6Addr::from(start), prefix);
        let (namespaced, local) = (part(first), part(first + u128::from(size)));
        Ok(Self { namespaced, local, gateway: Ipv6Addr::from(first + 1) })
    }

    fn numbered(self, number: u32) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.namespaced.network()) + u128::from(number))
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
            let six = layout.six.unwrap();
            assert_eq!(
                (six.namespaced.to_string(), six.local.to_string()),
                ("fd00:0:0:3::/121".to_owned(), "fd00:0:0:3::80/121".to_owned())
            );
            assert_eq!(layout.six_of(layout.gateway), Some(six.gateway));
            for (four, number) in [("10.244.3.2", "2"), ("10.244.3.129", "81"), ("10.244.3.254", "fe")] {
                let expected = format!("fd00:0:0:3::{number}").parse().unwrap();
                assert_eq!(layout.six_of(four.parse().unwrap()), Some(expected));
            }
        }
        assert_eq!(layout("10.244.3.0/24").unwrap().six_of(Ipv4Addr::new(10, 244, 3, 2)), None);
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
            text("fd00::/64"),
            "pod CIDR fd00::/64 cannot be used: a node needs an IPv4 range, alone or beside one of IPv6"
        );
    }
}
