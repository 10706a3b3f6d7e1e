//! How fast nodes are given up: one after the other, and not at all where it seems to be us who see nothing.
//!
//! A node that fails drives its Pods away by a taint. Where few nodes of a zone fail, one is given up every ten seconds; where
//! most do, fewer or none; where no node of the whole cluster is heard of, none.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;

use crate::objects::meta::labels;

/// How much time passes between two nodes of a zone.
const PERIOD: SignedDuration = SignedDuration::from_secs(10);
/// The same, where most nodes of a large zone fail.
const SLOW: SignedDuration = SignedDuration::from_secs(100);
/// A zone of more nodes is large.
const LARGE: usize = 50;
/// Which part of a zone, in percent, has to fail before it counts as disrupted.
const THRESHOLD: usize = 55;
/// Nodes with this label say nothing of their zone.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

/// What is wrong with a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disruption {
    None,
    /// Most nodes fail.
    Partial,
    /// All nodes fail.
    Full,
}

/// Nodes of a zone that are ready, and that are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    ready: usize,
    failing: usize,
}

/// All zones, as the nodes say.
#[derive(Debug, Default)]
pub(super) struct Zones(BTreeMap<String, Count>);

/// Whether a node may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    Granted,
    /// Not before then.
    Wait(Duration),
    /// Not as long as things are as they are.
    Refused,
}

/// When a node of each zone was last given up.
#[derive(Debug, Default)]
pub(super) struct Pace(BTreeMap<String, Timestamp>);

impl Count {
    fn disruption(self) -> Disruption {
        let Self { ready, failing } = self;
        if ready == 0 && failing > 0 {
            Disruption::Full
        } else if failing > 2 && failing * 100 >= THRESHOLD * (ready + failing) {
            Disruption::Partial
        } else {
            Disruption::None
        }
    }

    /// How much time passes between two nodes.
    fn period(self) -> Option<SignedDuration> {
        match self.disruption() {
            Disruption::None | Disruption::Full => Some(PERIOD),
            Disruption::Partial => (self.ready + self.failing > LARGE).then_some(SLOW),
        }
    }
}

impl Zones {
    /// Counts the nodes.
    pub(super) fn of<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> Self {
        let mut zones = Self::default();
        for node in nodes {
            if labels(&node.metadata).contains_key(EXCLUDED) {
                continue;
            }
            let count = zones.0.entry(zone_of(node)).or_default();
            let counted = if is_ready(node) { &mut count.ready } else { &mut count.failing };
            *counted += 1;
        }
        zones
    }

    /// Whether no node is heard of, so that it is us who hear nothing.
    pub(super) fn are_all_silent(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|count| count.disruption() == Disruption::Full)
    }
}

impl Pace {
    /// Asks whether a node may be given up now; what is granted counts.
    pub(super) fn ask(&mut self, zones: &Zones, node: &Node, now: Timestamp) -> Permit {
        if zones.are_all_silent() {
            return Permit::Refused;
        }
        let zone = zone_of(node);
        let count = zones.0.get(&zone).copied().unwrap_or_default();
        let Some(period) = count.period() else { return Permit::Refused };
        let last = self.0.get(&zone).copied();
        let left = last.map_or(SignedDuration::ZERO, |last| period.saturating_sub(now.duration_since(last)));
        match Duration::try_from(left) {
            Ok(left) if !left.is_zero() => Permit::Wait(left),
            Ok(_) | Err(_) => {
                self.0.insert(zone, now);
                Permit::Granted
            }
        }
    }

    /// Gives back what was granted and could not be used.
    pub(super) fn give_back(&mut self, node: &Node, granted: Timestamp) {
        let zone = zone_of(node);
        if self.0.get(&zone) == Some(&granted) {
            self.0.remove(&zone);
        }
    }
}

/// Region and zone of a node, each empty if it says nothing of it.
fn zone_of(node: &Node) -> String {
    let labels = labels(&node.metadata);
    let label =
        |names: [&str; 2]| names.into_iter().find_map(|name| labels.get(name)).cloned().unwrap_or_default();
    let region = label(["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]);
    let zone = label(["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]);
    format!("{region}:{zone}")
}

/// Whether the node says that it is ready.
pub(super) fn is_ready(node: &Node) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn node(zone: &str, ready: bool) -> Node {
        let object = json!({
            "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": zone}},
            "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "Unknown" }}]},
        });
        serde_json::from_value(object).unwrap()
    }

    fn zone(name: &str, ready: usize, failing: usize) -> Vec<Node> {
        (0..ready + failing).map(|number| node(name, number < ready)).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[rstest]
    #[case(0, 0, Disruption::None)]
    #[case(0, 1, Disruption::Full)]
    #[case(1, 2, Disruption::None)]
    #[case(3, 3, Disruption::None)]
    #[case(9, 11, Disruption::Partial)]
    #[case(1, 3, Disruption::Partial)]
    fn zones_are_disrupted(#[case] ready: usize, #[case] failing: usize, #[case] expected: Disruption) {
        assert_eq!(Count { ready, failing }.disruption(), expected);
    }

    #[test]
    fn one_node_of_a_zone_at_a_time() {
        let nodes = [zone("a", 5, 2), zone("b", 5, 2)].concat();
        let (zones, mut pace) = (Zones::of(&nodes), Pace::default());
        assert_eq!(pace.ask(&zones, &node("a", false), at(100)), Permit::Granted);
        assert_eq!(pace.ask(&zones, &node("a", false), at(103)), Permit::Wait(Duration::from_secs(7)));
        assert_eq!(
            pace.ask(&zones, &node("b", false), at(103)),
            Permit::Granted,
            "zones do not wait for others"
        );
        assert_eq!(pace.ask(&zones, &node("a", false), at(110)), Permit::Granted);
        pace.give_back(&node("a", false), at(110));
        assert_eq!(pace.ask(&zones, &node("a", false), at(111)), Permit::Granted);
    }

    #[rstest]
    #[case::small(zone("a", 4, 6), Permit::Refused)]
    #[case::large(zone("a", 20, 40), Permit::Wait(Duration::from_secs(90)))]
    #[case::all_of_one_zone([zone("a", 0, 9), zone("b", 1, 0)].concat(), Permit::Granted)]
    #[case::all_of_all_zones([zone("a", 0, 9), zone("b", 0, 1)].concat(), Permit::Refused)]
    fn disruption_slows_it_down(#[case] nodes: Vec<Node>, #[case] expected: Permit) {
        let mut pace = Pace::default();
        assert_eq!(pace.ask(&Zones::of(&zone("a", 9, 1)), &node("a", false), at(100)), Permit::Granted);
        assert_eq!(pace.ask(&Zones::of(&nodes), &node("a", false), at(110)), expected);
    }

    #[test]
    fn excluded_nodes_do_not_count() {
        let mut nodes = zone("a", 1, 3);
        for node in &mut nodes[1..] {
            node.metadata.labels.as_mut().unwrap().insert(EXCLUDED.into(), String::new());
        }
        let zones = Zones::of(&nodes);
        assert_eq!(zones.0[":a"], Count { ready: 1, failing: 0 });
        assert!(!zones.are_all_silent() && !Zones::of([]).are_all_silent());
    }
}
