//! Which Pods of one node have to end so that another one fits there.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::budgets::Budgets;
use crate::cluster::{Cluster, Placed, PodIndex};
use crate::cycle::Supposed;
use crate::plugins::Refusal;

/// The Pods to end on a node, the most important one first.
#[derive(Clone, Debug)]
pub(crate) struct Victims {
    pub(crate) pods: Vec<Placed>,
    /// How many of them a budget would not let go.
    pub(crate) violations: usize,
}

/// The same while nodes are compared.
pub(super) struct Selected {
    pods: Vec<Candidate>,
    violations: usize,
}

/// A Pod that could end.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    index: PodIndex,
    priority: i32,
    started: Timestamp,
}

impl Candidate {
    pub(super) fn new((index, pod): (PodIndex, &Placed), now: Timestamp) -> Self {
        Self { index, priority: pod.priority, started: started(pod, now) }
    }

    /// Higher priority first, then who runs for longer.
    fn importance(&self) -> (Reverse<i32>, Timestamp) {
        (Reverse(self.priority), self.started)
    }
}

/// Selects victims among the Pods of a node that have lower priority, or says why ending them all does not help.
///
/// Guarantees: the Pod fits without the victims, and would not if any one of them stayed as well.
pub(super) fn select(
    mut lower: Vec<Candidate>,
    budgets: &Budgets,
    node: &mut Supposed<'_>,
) -> Result<Selected, Refusal> {
    for pod in &lower {
        node.take_away(pod.index);
    }
    if let Some(refusal) = node.refusal() {
        return Err(refusal);
    }
    lower.sort_by_key(Candidate::importance);
    let violated = budgets.violated(lower.iter().filter_map(|pod| node.cluster().pod(pod.index)));
    let mut spare = |violating: bool| {
        let concerned = lower.iter().zip(&violated).filter(|(_, violated)| **violated == violating);
        let mut victims = Vec::new();
        for (pod, _) in concerned {
            node.put_back(pod.index);
            if node.refusal().is_some() {
                node.take_away(pod.index);
                victims.push(*pod);
            }
        }
        victims
    };
    let mut pods = spare(true);
    let violations = pods.len();
    pods.extend(spare(false));
    pods.sort_by_key(Candidate::importance);
    Ok(Selected { pods, violations })
}

/// One that has not started runs from now.
fn started(pod: &Placed, now: Timestamp) -> Timestamp {
    pod.started.unwrap_or(now)
}

/// What makes ending these Pods worse than ending others, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    violations: usize,
    highest: i32,
    sum: i64,
    count: usize,
    /// Since when the first of those with the highest priority runs: the later the better.
    earliest: Reverse<Timestamp>,
}

impl Cost {
    fn of(pods: impl Iterator<Item = (i32, Timestamp)> + Clone, violations: usize) -> Self {
        let highest = pods.clone().map(|(priority, _)| priority).max().unwrap_or(i32::MIN);
        // Counted from zero, so that more Pods never sum up to less.
        let weight = |(priority, _): (i32, Timestamp)| i64::from(priority) + i64::from(i32::MAX) + 1;
        let gravest = pods.clone().filter(|(priority, _)| *priority == highest);
        Self {
            violations,
            highest,
            sum: pods.clone().map(weight).sum(),
            count: pods.count(),
            earliest: Reverse(gravest.map(|(_, started)| started).min().unwrap_or(Timestamp::MAX)),
        }
    }
}

impl Selected {
    pub(super) fn cost(&self) -> Cost {
        Cost::of(self.pods.iter().map(|pod| (pod.priority, pod.started)), self.violations)
    }

    /// Whether no budget minds.
    pub(super) fn violates_nothing(&self) -> bool {
        self.violations == 0
    }

    pub(super) fn resolve(&self, cluster: &Cluster) -> Victims {
        let pods = self.pods.iter().filter_map(|pod| cluster.pod(pod.index).cloned()).collect();
        Victims { pods, violations: self.violations }
    }
}

impl Victims {
    pub(super) fn cost(&self, now: Timestamp) -> Cost {
        Cost::of(self.pods.iter().map(|pod| (pod.priority, started(pod, now))), self.violations)
    }
}
