//! Who has to end for a Pod, by the letter of the rules.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::world::World;
use super::{Pair, info, uid};
use crate::cycle::Unschedulable;
use crate::preemption::{self, Args, Plan};

const NOW: &str = "2026-01-01T10:00:00Z";

/// What no Pod's end changes.
const FINAL: [&str; 6] = [
    "node(s) didn't satisfy plugin(s) [NodeAffinity]",
    "node(s) were unschedulable",
    "node(s) had untolerated taint(s)",
    "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't match pod affinity rules",
    "node(s) didn't match pod topology spread constraints (missing required label)",
];

/// What makes ending Pods worse than ending others, and whom it is.
type Loss = ((usize, i64, i64, usize, Reverse<String>), BTreeSet<String>);

impl World {
    /// What would be lost on each node where the Pod fits if others end.
    fn losses(&self, pod: &Value) -> BTreeMap<String, Loss> {
        let losses = self.nodes.iter().map(|(name, node)| (name.clone(), self.loss(pod, node)));
        losses.filter_map(|(name, loss)| Some((name, loss?))).collect()
    }

    fn loss(&self, pod: &Value, node: &Value) -> Option<Loss> {
        let refusal = self.refusal(pod, node)?;
        if FINAL.contains(&refusal.as_str()) || self.is_too_small(pod, node) {
            return None;
        }
        let mut lower: Vec<_> = self.pods_on(node).filter(|other| priority(other) < priority(pod)).collect();
        if lower.is_empty() {
            return None;
        }
        lower.sort_by_key(|pod| (Reverse(priority(pod)), started(pod), uid(pod)));
        let mut left = self.clone();
        for pod in &lower {
            left.pods.remove(&uid(pod));
        }
        if left.refusal(pod, node).is_some() {
            return None;
        }
        let violating = self.violating(&lower);
        let (mut victims, mut violations) = (Vec::new(), 0);
        for turn in [true, false] {
            for candidate in lower.iter().filter(|pod| violating.contains(&uid(pod)) == turn) {
                left.pods.insert(uid(candidate), self.pods[&uid(candidate)].clone());
                if left.refusal(pod, node).is_some() {
                    left.pods.remove(&uid(candidate));
                    victims.push(*candidate);
                    violations += usize::from(turn);
                }
            }
        }
        let highest = victims.iter().map(|pod| priority(pod)).max().unwrap_or(i64::MIN);
        let sum = victims.iter().map(|pod| priority(pod) + i64::from(i32::MAX) + 1).sum();
        let gravest = victims.iter().filter(|pod| priority(pod) == highest);
        let earliest = gravest.map(|pod| started(pod)).min().unwrap_or_default();
        let cost = (violations, highest, sum, victims.len(), Reverse(earliest));
        Some((cost, victims.into_iter().map(uid).collect()))
    }

    /// Whether the Pod asks for more than the node has when it is empty.
    fn is_too_small(&self, pod: &Value, node: &Value) -> bool {
        let mut empty = self.clone();
        empty.pods.clear();
        empty.refusal(pod, node).is_some_and(|refusal| refusal.contains("Insufficient"))
    }

    /// Those that some budget would not let go, if all ended in this order.
    fn violating(&self, pods: &[&Value]) -> BTreeSet<String> {
        let mut left = self.budgets.clone();
        let violates = |pod: &&&Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let key = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["labels"]["app"]));
            left.get_mut(&key).is_some_and(|left| {
                *left -= 1;
                *left < 0
            })
        };
        pods.iter().filter(violates).map(|pod| uid(pod)).collect()
    }
}

fn priority(pod: &Value) -> i64 {
    pod["spec"]["priority"].as_i64().unwrap()
}

fn started(pod: &Value) -> String {
    pod["status"]["startTime"].as_str().unwrap_or(NOW).to_owned()
}

impl Pair {
    /// Compares who has to end for a Pod that fits nowhere.
    pub(super) fn compare_victims(&mut self, pod: &Value, refused: &Unschedulable) {
        let mut expected = self.world.losses(pod);
        let mut world = preemption::World {
            cluster: &mut self.cluster,
            scratch: &mut self.scratch,
            profile: &self.profile,
            budgets: &self.budgets,
            nominated: None,
            ending: &HashSet::new(),
            now: NOW.parse().unwrap(),
            args: Args::default(),
        };
        let plan = preemption::plan(&info(pod), refused, &mut world, |_| 0);
        let least = expected.values().map(|(cost, _)| cost.clone()).min();
        match plan {
            Plan::End { node, victims } => {
                let name = &self.cluster.node(node).name;
                let (cost, ended) = expected.remove(name).unwrap_or_else(|| panic!("{name} is no candidate"));
                assert_eq!(Some(cost), least, "{name}: {pod:#}\n{:#?}", self.world);
                let found = victims.pods.iter().map(|victim| victim.uid.to_string()).collect();
                assert_eq!(ended, found, "{name}: {pod:#}\n{:#?}", self.world);
            }
            Plan::Ineligible(text) => panic!("{text}"),
            Plan::Useless(text) => assert_eq!(least, None, "{text}: {pod:#}\n{:#?}", self.world),
        }
    }
}
