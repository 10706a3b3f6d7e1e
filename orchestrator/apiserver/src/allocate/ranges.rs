//! Where cluster IPs come from: the ServiceCIDRs that are ready and that nobody deletes.
//!
//! As long as there is no ServiceCIDR called `kubernetes`, the ranges that the server was started with take its place.

use std::net::IpAddr;

use ipnet::IpNet;
use wherry_api::ranges::{IpFamily, Ranges as Own};
use wherry_schema::Value;
use wherry_store::{Precondition, Revision, Snapshot};

use crate::follow::Made;
use crate::object::{self, Fields};

const DEFAULT: &str = "kubernetes";

/// See the module's documentation.
pub(super) struct Ranges {
    default: Own,
    ranges: Vec<Range>,
}

/// One range.
pub(super) struct Range {
    pub(super) net: IpNet,
    /// The object that says so, and when it was written.
    object: Option<(String, Revision)>,
}

impl Made for Ranges {
    const PREFIX: &'static str = "/registry/networking.k8s.io/servicecidrs/";

    fn make(&self, state: &Snapshot) -> Self {
        let (mut first, mut others) = (None, Vec::new());
        for entry in state.range(Self::PREFIX, None) {
            let Ok(object) = Value::from_json(&entry.value) else { continue };
            let found = nets(&object, self.default)
                .map(|net| Range { net, object: Some((entry.key.to_string(), entry.mod_revision)) });
            if object::name(&object) == DEFAULT {
                first = Some(found.collect::<Vec<_>>());
            } else {
                others.extend(found);
            }
        }
        let mut ranges = first.unwrap_or_else(|| own(self.default));
        ranges.append(&mut others);
        Self { default: self.default, ranges }
    }
}

/// The ranges that the server was started with.
fn own(default: Own) -> Vec<Range> {
    default.iter().map(|net| Range { net, object: None }).collect()
}

/// The ranges of a ServiceCIDR that can be used, as far as they are of the server's families.
fn nets(object: &Value, default: Own) -> impl Iterator<Item = IpNet> {
    let is_usable = is_ready(object) && !object::terminating(object);
    let cidrs = object.items("spec.cidrs").iter().filter(move |_| is_usable);
    let nets = cidrs.filter_map(|cidr| cidr.as_str()?.parse::<IpNet>().ok());
    nets.filter(move |net| default.of(IpFamily::of(net.addr())).is_some())
}

/// Whether the condition says so. A new object counts, as nobody may be there to set its condition.
fn is_ready(object: &Value) -> bool {
    let mut conditions = object.items("status.conditions").iter();
    conditions.find(|found| found.text("type") == "Ready").is_none_or(|ready| ready.text("status") == "True")
}

impl Ranges {
    /// What holds where there are no objects.
    pub(super) fn of_no_objects(default: Own) -> Self {
        Self { default, ranges: own(default) }
    }

    /// All ranges of a family, the first ones to be used first.
    pub(super) fn of(&self, family: IpFamily) -> impl Iterator<Item = &Range> {
        self.ranges.iter().filter(move |range| IpFamily::of(range.net.addr()) == family)
    }

    /// A range that can give out this address.
    pub(super) fn holding(&self, ip: IpAddr) -> Option<&Range> {
        self.of(IpFamily::of(ip)).find(|range| range.holds(ip))
    }

    /// Whether the first address of the range is the API server's own.
    pub(super) fn begins_with_server(&self, range: &Range) -> bool {
        range.net == self.default.primary()
    }
}

impl Range {
    /// Whether the address is one of the range that hosts may have.
    fn holds(&self, ip: IpAddr) -> bool {
        let is_last = ip.is_ipv4() && ip == self.net.broadcast();
        self.net.contains(&ip) && ip != self.net.network() && !is_last
    }

    /// That the range is what it was.
    pub(super) fn stays(&self) -> Option<Precondition> {
        let (key, revision) = self.object.clone()?;
        Some(Precondition::ModRevision { key, revision })
    }

    /// The address at an offset.
    pub(super) fn at(&self, offset: u64) -> IpAddr {
        match self.net.network() {
            IpAddr::V4(base) => {
                let offset = u32::try_from(offset).expect("an offset has at most 20 bits");
                IpAddr::V4(u32::from(base).wrapping_add(offset).into())
            }
            IpAddr::V6(base) => IpAddr::V6(u128::from(base).wrapping_add(u128::from(offset)).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.0.0.0/28", "10.0.0.1", true)]
    #[case("10.0.0.0/28", "10.0.0.14", true)]
    #[case::network("10.0.0.0/28", "10.0.0.0", false)]
    #[case::broadcast("10.0.0.0/28", "10.0.0.15", false)]
    #[case::elsewhere("10.0.0.0/28", "10.0.0.16", false)]
    #[case::last_of_v6("fd00::/120", "fd00::ff", true)]
    #[case::first_of_v6("fd00::/120", "fd00::", false)]
    fn ranges_hold_hosts(#[case] net: IpNet, #[case] ip: IpAddr, #[case] expected: bool) {
        assert_eq!(Ranges::of_no_objects(net.into()).holding(ip).is_some(), expected);
    }
}
