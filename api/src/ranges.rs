//! Ranges of addresses of a cluster with one family of addresses or with both (KEP-563).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// A family of addresses, as the API calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.name() == name)
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The address of this number in a range, whose first is number 0; none beyond its end, nor what IPv4 keeps for all of a range.
pub fn numbered(range: IpNet, number: u32) -> Option<IpAddr> {
    let ip = match range.network() {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().checked_add(number)?).into(),
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().checked_add(u128::from(number))?).into(),
    };
    (range.contains(&ip) && (range.addr().is_ipv6() || ip != range.broadcast())).then_some(ip)
}

/// One range, or one of each family; the first is the one that counts where only one is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    primary: IpNet,
    secondary: Option<IpNet>,
}

/// What are no ranges of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// One is not in the form of RFC 4632 or RFC 4291.
    #[error("{0:?} is no range of addresses; write one as 10.96.0.0/16 or fd00::/112")]
    Range(String),
    /// Both are of one family.
    #[error("{0} and {1} are of one family; give one range of IPv4, one of IPv6, or one of each")]
    Family(IpNet, IpNet),
    /// There are more than families.
    #[error("{0:?} has more than two ranges; give one of IPv4, one of IPv6, or one of each")]
    Many(String),
}

impl Ranges {
    /// These two.
    pub fn new(primary: IpNet, secondary: Option<IpNet>) -> Result<Self, RangesError> {
        match secondary {
            Some(other) if family(primary) == family(other) => Err(RangesError::Family(primary, other)),
            _ => Ok(Self { primary: primary.trunc(), secondary: secondary.map(|range| range.trunc()) }),
        }
    }

    /// The first.
    pub fn primary(self) -> IpNet {
        self.primary
    }

    /// The one of the other family.
    pub fn secondary(self) -> Option<IpNet> {
        self.secondary
    }

    /// All, the primary one first.
    pub fn iter(self) -> impl Iterator<Item = IpNet> {
        [Some(self.primary), self.secondary].into_iter().flatten()
    }

    /// The families, the primary one first.
    pub fn families(self) -> impl Iterator<Item = IpFamily> {
        self.iter().map(family)
    }

    /// The range of a family.
    pub fn of(self, wanted: IpFamily) -> Option<IpNet> {
        self.iter().find(|range| family(*range) == wanted)
    }

    /// Whether an address is in one of them.
    pub fn contains(self, ip: IpAddr) -> bool {
        self.iter().any(|range| range.contains(&ip))
    }

    /// Whether an address is in both of two.
    pub fn overlaps(self, others: Self) -> bool {
        self.iter().any(|one| others.iter().any(|other| one.contains(&other) || other.contains(&one)))
    }
}

fn family(range: IpNet) -> IpFamily {
    IpFamily::of(range.addr())
}

impl From<IpNet> for Ranges {
    fn from(range: IpNet) -> Self {
        Self { primary: range.trunc(), secondary: None }
    }
}

impl FromStr for Ranges {
    type Err = RangesError;

    /// One range, or two with a comma between them, as upstream's flags have them.
    fn from_str(text: &str) -> Result<Self, RangesError> {
        let mut parts = text
            .split(',')
            .map(|part| part.trim().parse::<IpNet>().map_err(|_| RangesError::Range(part.trim().to_owned())));
        let primary = parts.next().unwrap_or_else(|| Err(RangesError::Range(text.to_owned())))?;
        let secondary = parts.next().transpose()?;
        if parts.next().is_some() {
            return Err(RangesError::Many(text.to_owned()));
        }
        Self::new(primary, secondary)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.primary)?;
        self.secondary.iter().try_for_each(|range| write!(f, ",{range}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.96.0.0/16", "10.96.0.0/16")]
    #[case::host_bits("10.96.0.1/16, fd00::1/112", "10.96.0.0/16,fd00::/112")]
    #[case::v6_first("fd00::/112,10.96.0.0/16", "fd00::/112,10.96.0.0/16")]
    fn ranges_are_written_as_they_are_read(#[case] text: &str, #[case] expected: &str) {
        let ranges: Ranges = text.parse().unwrap();
        assert_eq!(ranges.to_string(), expected);
        assert_eq!(ranges.to_string().parse(), Ok(ranges));
    }

    #[rstest]
    #[case("", "\"\" is no range")]
    #[case("10.96.0.0", "\"10.96.0.0\" is no range")]
    #[case("10.96.0.0/33", "is no range")]
    #[case("10.96.0.0/16,", "\"\" is no range")]
    #[case("10.96.0.0/16,10.97.0.0/16", "are of one family")]
    #[case("10.96.0.0/16,fd00::/112,10.97.0.0/16", "more than two")]
    fn others_are_refused(#[case] text: &str, #[case] told: &str) {
        let error = text.parse::<Ranges>().unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }

    #[test]
    fn a_family_has_its_range() {
        let both: Ranges = "fd00::/112,10.96.0.0/16".parse().unwrap();
        assert_eq!(both.families().collect::<Vec<_>>(), [IpFamily::V6, IpFamily::V4]);
        assert_eq!(both.of(IpFamily::V4), both.secondary());
        assert_eq!(Ranges::from(both.primary()).of(IpFamily::V4), None);
        assert!(both.contains("fd00::7".parse().unwrap()) && !both.contains("10.97.0.1".parse().unwrap()));
        assert!(
            both.overlaps("10.96.3.0/24".parse().unwrap()) && !both.overlaps("10.0.0.0/12".parse().unwrap())
        );
    }

    #[rstest]
    #[case("10.96.0.0/16", 1, Some("10.96.0.1"))]
    #[case("10.96.0.0/29", 7, None)]
    #[case("10.96.0.0/29", 8, None)]
    #[case("fd00:96::/112", 1, Some("fd00:96::1"))]
    #[case("fd00:96::/125", 7, Some("fd00:96::7"))]
    #[case("fd00:96::/125", 8, None)]
    #[case("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 1, None)]
    fn addresses_of_a_range_are_numbered(
        #[case] range: IpNet,
        #[case] number: u32,
        #[case] ip: Option<&str>,
    ) {
        assert_eq!(numbered(range, number), ip.map(|ip| ip.parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f:./, ]{0,60}") {
            if let Ok(ranges) = text.parse::<Ranges>() {
                prop_assert_eq!(ranges.to_string().parse(), Ok(ranges));
            }
        }
    }
}
