//! One decision: which node a Pod goes to, or why to none.

mod unschedulable;

use crate::cluster::{Cluster, NodeIndex, NodeInfo, PodIndex};
use crate::plugins::{
    Ask, FILTERS, NAME_REFUSAL, NOT_NAMED, Normalize, Prepared, Profile, Refusal, SCORES, Score,
};
use crate::pod::PodInfo;

pub(crate) use unschedulable::{Unschedulable, histogram};

/// Where a Pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) node: NodeIndex,
    /// How many nodes fit.
    pub(crate) feasible: usize,
}

/// What is kept from one decision to the next.
#[derive(Default)]
pub(crate) struct Scratch {}

/// Decides. `draw` chooses between equally good nodes: it returns a number below its argument.
pub(crate) fn schedule(
    pod: &PodInfo,
    cluster: &mut Cluster,
    profile: &Profile,
    _scratch: &mut Scratch,
    draw: impl FnOnce(usize) -> usize,
) -> Result<Decision, Unschedulable> {
    let cluster = &*cluster;
    let prepared = Prepared::new(&pod.template, &profile.args, &cluster.symbols);
    let ask = Ask { template: &pod.template, prepared: &prepared, args: &profile.args, cluster };
    let mut refused = Unschedulable { nodes: cluster.node_count(), ..Unschedulable::default() };
    let mut fitting = Vec::new();
    for (index, node) in cluster.nodes() {
        match outside(pod, node).map_or_else(|| filter(&ask, profile, node), Err) {
            Ok(()) => fitting.push((index, node)),
            Err(refusal) => {
                refused.count(refusal, 1, &pod.template);
                if !refusal.is_final {
                    refused.resolvable.push(index);
                }
            }
        }
    }
    if fitting.is_empty() {
        return Err(refused);
    }
    let best = best(&ask, profile, &fitting);
    let chosen = if best.len() > 1 { draw(best.len()) } else { 0 };
    Ok(Decision { node: best[chosen], feasible: fitting.len() })
}

/// The no to a Pod on a node without some of the Pods that are placed there.
pub(crate) fn refusal(
    pod: &PodInfo,
    node: NodeIndex,
    without: &[PodIndex],
    cluster: &mut Cluster,
    profile: &Profile,
) -> Option<Refusal> {
    let taken = cluster.lift(without);
    let prepared = Prepared::new(&pod.template, &profile.args, &cluster.symbols);
    let ask = Ask { template: &pod.template, prepared: &prepared, args: &profile.args, cluster };
    let refusal =
        outside(pod, cluster.node(node)).or_else(|| filter(&ask, profile, cluster.node(node)).err());
    cluster.put_back(taken);
    refusal
}

/// The no to a node that the Pod does not name, if it names some.
fn outside(pod: &PodInfo, node: &NodeInfo) -> Option<Refusal> {
    let is_other = |names: &[String]| !names.contains(&node.name);
    if pod.node_name.as_ref().is_some_and(|name| *name != node.name) {
        return Some(NAME_REFUSAL);
    }
    pod.pinned.as_ref().is_some_and(|names| is_other(names)).then_some(NOT_NAMED)
}

fn filter(ask: &Ask<'_>, profile: &Profile, node: &NodeInfo) -> Result<(), Refusal> {
    let asked = FILTERS.iter().filter(|(plugin, _)| profile.filters.contains(*plugin));
    asked.into_iter().try_for_each(|(_, fits)| fits(ask, node))
}

/// The nodes with the highest sum of scores.
fn best(ask: &Ask<'_>, profile: &Profile, nodes: &[(NodeIndex, &NodeInfo)]) -> Vec<NodeIndex> {
    let mut totals = vec![0; nodes.len()];
    for score in SCORES {
        let weight = profile.weight(score.plugin);
        if weight != 0 && nodes.len() > 1 {
            for (total, score) in totals.iter_mut().zip(scores(score, ask, nodes)) {
                *total += score * weight;
            }
        }
    }
    let highest = totals.iter().max().copied().unwrap_or(0);
    nodes.iter().zip(totals).filter(|(_, total)| *total == highest).map(|((index, _), _)| *index).collect()
}

fn scores(score: &Score, ask: &Ask<'_>, nodes: &[(NodeIndex, &NodeInfo)]) -> Vec<i64> {
    let raw: Vec<_> = nodes.iter().map(|(_, node)| (score.rate)(ask, node)).collect();
    let highest = raw.iter().max().copied().unwrap_or(0);
    match score.normalize {
        Normalize::Not => raw,
        Normalize::Highest if highest == 0 => raw,
        Normalize::Highest => raw.into_iter().map(|score| score * 100 / highest).collect(),
        Normalize::Lowest if highest == 0 => vec![100; raw.len()],
        Normalize::Lowest => raw.into_iter().map(|score| 100 - score * 100 / highest).collect(),
    }
}

#[cfg(test)]
#[path = "cycle_tests.rs"]
mod tests;
