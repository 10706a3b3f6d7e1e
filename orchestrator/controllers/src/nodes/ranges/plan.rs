//! Which node gets which parts of the ranges: pure.
//!
//! Parts go round: one that becomes free is given out again only when all after it were. What was promised to a node
//! stays promised until the node has parts or is gone, so that a write whose answer was lost is tried again as it was.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use super::config::{NodeRange, NodeRanges};

/// What was promised, and where to look next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By the uids of nodes.
    promised: BTreeMap<String, Vec<IpNet>>,
    /// The number of the next part, of each range.
    next: Vec<u128>,
}

/// What nodes are to be given, and those for whom nothing is left.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) give: Vec<(Arc<Node>, Vec<IpNet>)>,
    pub(super) lacking: Vec<Arc<Node>>,
}

/// Gives parts to all nodes that have none.
pub(super) fn plan(wanted: &NodeRanges, nodes: &[Arc<Node>], memory: &mut Memory) -> Plan {
    let lacks = |node: &&Arc<Node>| parts(node).is_empty() && node.metadata.deletion_timestamp.is_none();
    let poor: Vec<_> = nodes.iter().filter(lacks).cloned().collect();
    memory.promised.retain(|uid, _| poor.iter().any(|node| node.uid().as_ref() == Some(uid)));
    memory.next.resize(wanted.ranges.len(), 0);
    let given = nodes.iter().flat_map(|node| parts(node)).filter_map(|part| part.parse::<IpNet>().ok());
    let promised = memory.promised.values().flatten().copied();
    let mut taken = Taken::new(wanted.reserved.iter().copied().chain(given).chain(promised));
    let mut plan = Plan::default();
    for node in poor {
        let uid = node.uid().unwrap_or_default();
        let known = memory.promised.get(&uid).cloned();
        match known.or_else(|| take(&wanted.ranges, &mut taken, &mut memory.next)) {
            Some(parts) => {
                memory.promised.insert(uid, parts.clone());
                plan.give.push((node, parts));
            }
            None => plan.lacking.push(node),
        }
    }
    plan
}

/// The parts that a node has.
pub(super) fn parts(node: &Node) -> &[String] {
    node.spec.as_ref().and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default()
}

/// A part of every range, or of none.
fn take(ranges: &[NodeRange], taken: &mut Taken, next: &mut [u128]) -> Option<Vec<IpNet>> {
    let found: Option<Vec<_>> =
        ranges.iter().zip(next.iter()).map(|(range, next)| taken.free(range, *next)).collect();
    let found = found?;
    for (next, (number, part)) in next.iter_mut().zip(&found) {
        *next = number + 1;
        taken.insert(*part);
    }
    Some(found.into_iter().map(|(_, part)| part).collect())
}

/// Addresses that somebody has, of each family: where each piece begins and ends.
#[derive(Debug, Default)]
struct Taken {
    v4: BTreeMap<u128, u128>,
    v6: BTreeMap<u128, u128>,
}

impl Taken {
    fn new(all: impl Iterator<Item = IpNet>) -> Self {
        let mut taken = Self::default();
        all.for_each(|range| taken.insert(range));
        taken
    }

    fn family(&self, range: &IpNet) -> &BTreeMap<u128, u128> {
        if matches!(range, IpNet::V4(_)) { &self.v4 } else { &self.v6 }
    }

    /// Ranges either are apart, or one is within the other; only the outer one is kept.
    fn insert(&mut self, range: IpNet) {
        let (first, last) = (bits(range.network()), bits(range.broadcast()));
        let pieces = if matches!(range, IpNet::V4(_)) { &mut self.v4 } else { &mut self.v6 };
        if pieces.range(..=first).next_back().is_some_and(|(_, end)| *end >= last) {
            return;
        }
        pieces.retain(|begin, _| *begin < first || *begin > last);
        pieces.insert(first, last);
    }

    /// The first free part at or after the one of this number, and then from the beginning.
    fn free(&self, range: &NodeRange, from: u128) -> Option<(u128, IpNet)> {
        let count = 1u128.checked_shl(u32::from(range.prefix() - range.cluster().prefix_len()));
        let count = count.unwrap_or(u128::MAX);
        let start = from % count;
        self.search(range, start, count).or_else(|| self.search(range, 0, start))
    }

    /// The first free part of those from one number up to another.
    fn search(&self, range: &NodeRange, from: u128, to: u128) -> Option<(u128, IpNet)> {
        let pieces = self.family(&range.cluster());
        let base = bits(range.cluster().network());
        let shift = u32::from(range.cluster().max_prefix_len() - range.prefix());
        let mut number = from;
        while number < to {
            let first = base + number.checked_shl(shift).unwrap_or(0);
            let last = first + (1u128.checked_shl(shift).unwrap_or(0).wrapping_sub(1));
            match pieces.range(..=last).next_back().filter(|(_, end)| **end >= first) {
                None => return Some((number, part(range, first))),
                Some((_, end)) => number = (end - base).checked_shr(shift).unwrap_or(0) + 1,
            }
        }
        None
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn part(range: &NodeRange, first: u128) -> IpNet {
    let address = match range.cluster() {
        IpNet::V4(_) => {
            let bits = u32::try_from(first).expect("it is within a range of the family");
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(first)),
    };
    IpNet::new(address, range.prefix()).expect("the prefix was checked with the range")
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
