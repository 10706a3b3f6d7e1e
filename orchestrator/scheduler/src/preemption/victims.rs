//! Which Pods of one node have to end so that another one fits there.

use std::cmp::{Ordering, Reverse};

use jiff::Timestamp;

use super::budgets::Budgets;
use crate::cluster::Placed;
use crate::cycle::Supposed;
use crate::plugins::Refusal;

/// The Pods to end on a node, the most important one first.
#[derive(Clone, Debug)]
pub(crate) struct Victims {
    pub(crate) pods: Vec<Placed>,
    /// How many of them a budget would not let go.
    pub(crate) violations: usize,
}

/// Selects victims among the Pods of a node that have lower priority, or says why ending them all does not help.
///
/// Guarantees: the Pod fits without the victims, and would not if any one of them stayed as well.
pub(super) fn select(
    mut lower: Vec<Placed>,
    budgets: &Budgets,
    now: Timestamp,
    node: &mut Supposed<'_>,
) -> Result<Victims, Refusal> {
    for pod in &lower {
        node.take_away(pod);
    }
    if let Some(refusal) = node.refusal() {
        return Err(refusal);
    }
    lower.sort_by(|a, b| by_importance(a, b, now));
    let violated = budgets.violated(lower.iter());
    let mut spare = |violating: bool| {
        let concerned = lower.iter().zip(&violated).filter(|(_, violated)| **violated == violating);
        let mut victims = Vec::new();
        for (pod, _) in concerned {
            node.put_back(pod);
            if node.refusal().is_some() {
                node.take_away(pod);
                victims.push(pod.clone());
            }
        }
        victims
    };
    let mut pods = spare(true);
    let violations = pods.len();
    pods.extend(spare(false));
    pods.sort_by(|a, b| by_importance(a, b, now));
    Ok(Victims { pods, violations })
}

/// Higher priority first, then who runs for longer. One that has not started runs from now.
fn by_importance(a: &Placed, b: &Placed, now: Timestamp) -> Ordering {
    let key = |pod: &Placed| (Reverse(pod.priority), started(pod, now));
    key(a).cmp(&key(b))
}

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

impl Victims {
    pub(super) fn cost(&self, now: Timestamp) -> Cost {
        let highest = self.pods.iter().map(|pod| pod.priority).max().unwrap_or(i32::MIN);
        // Counted from zero, so that more Pods never sum up to less.
        let weight = |pod: &Placed| i64::from(pod.priority) + i64::from(i32::MAX) + 1;
        let gravest = self.pods.iter().filter(|pod| pod.priority == highest);
        Cost {
            violations: self.violations,
            highest,
            sum: self.pods.iter().map(weight).sum(),
            count: self.pods.len(),
            earliest: Reverse(gravest.map(|pod| started(pod, now)).min().unwrap_or(now)),
        }
    }
}
