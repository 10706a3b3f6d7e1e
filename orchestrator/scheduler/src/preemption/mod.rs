//! Room for a Pod that found none, by ending Pods of lower priority (DefaultPreemption).
//!
//! Flow: [`plan`] decides purely, in upstream's order: who is ended on each node that could fit then, and which of these
//! nodes is the best. The scheduler then nominates the node for the Pod, which keeps the room from all others of its
//! priority and below, and ends the victims beside its next cycles.
//!
//! Guarantees: the Pod passes all filters on the chosen node without its victims, beside all Pods nominated there that
//! have at least its priority. A Pod whose victims are ending ends no others.

mod budgets;
mod nominations;
mod victims;

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

pub(crate) use budgets::Budgets;
pub(crate) use nominations::{Aside, Nominations, counts_for};
pub(crate) use victims::Victims;
use victims::{Candidate, Selected};

use crate::cluster::{Cluster, NodeIndex};
use crate::cycle::{Asker, Scratch, Supposed, Unschedulable, histogram};
use crate::plugins::Profile;
use crate::pod::PodInfo;

/// Of how many nodes, in percent and at least, victims are selected before the best is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) percentage: usize,
    pub(crate) absolute: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { percentage: 10, absolute: 100 }
    }
}

/// What is looked at.
pub(crate) struct World<'w> {
    pub(crate) cluster: &'w mut Cluster,
    pub(crate) scratch: &'w mut Scratch,
    pub(crate) profile: &'w Profile,
    pub(crate) budgets: &'w Budgets,
    /// The node that the Pod is nominated for already.
    pub(crate) nominated: Option<NodeIndex>,
    /// The Pods that end because of an earlier preemption, by uid.
    pub(crate) ending: &'w HashSet<String>,
    pub(crate) now: Timestamp,
    pub(crate) args: Args,
}

/// What to do for a Pod.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing, for it may not; as the user reads it.
    Ineligible(&'static str),
    /// Nothing, for it would not help; as the user reads it.
    Useless(String),
    /// End these Pods on this node.
    End { node: NodeIndex, victims: Victims },
}

/// Plans for a Pod that fits nowhere. `draw` returns a number below its argument.
pub(crate) fn plan(
    pod: &PodInfo,
    refused: &Unschedulable,
    world: &mut World<'_>,
    draw: impl FnOnce(usize) -> usize,
) -> Plan {
    match selections(pod, refused, world, draw) {
        Ok(selections) => match selections.into_iter().min_by_key(|(_, selected)| selected.cost()) {
            Some((node, selected)) => Plan::End { node, victims: selected.resolve(world.cluster) },
            None => useless(),
        },
        Err(plan) => plan,
    }
}

fn useless() -> Plan {
    Plan::Useless("no candidate node for preemption".to_owned())
}

/// The best of some nodes on which Pods could end.
pub(crate) fn pick(offers: Vec<(NodeIndex, Victims)>, now: Timestamp) -> Plan {
    match offers.into_iter().min_by_key(|(_, victims)| victims.cost(now)) {
        Some((node, victims)) => Plan::End { node, victims },
        None => useless(),
    }
}

/// Some nodes on which the Pod would fit if others ended, at least one; else what to do instead.
pub(crate) fn offers(
    pod: &PodInfo,
    refused: &Unschedulable,
    world: &mut World<'_>,
    draw: impl FnOnce(usize) -> usize,
) -> Result<Vec<(NodeIndex, Victims)>, Plan> {
    let selections = selections(pod, refused, world, draw)?;
    Ok(selections.into_iter().map(|(node, selected)| (node, selected.resolve(world.cluster))).collect())
}

fn selections(
    pod: &PodInfo,
    refused: &Unschedulable,
    world: &mut World<'_>,
    draw: impl FnOnce(usize) -> usize,
) -> Result<Vec<(NodeIndex, Selected)>, Plan> {
    if !pod.may_preempt {
        return Err(Plan::Ineligible("not eligible due to preemptionPolicy=Never."));
    }
    if awaits_victims(pod, refused, world) {
        return Err(Plan::Ineligible("not eligible due to a terminating pod on the nominated node."));
    }
    let mut reasons = BTreeMap::<String, usize>::new();
    let candidates = candidates(pod, &refused.resolvable, world, draw, &mut reasons);
    if !candidates.is_empty() {
        return Ok(candidates);
    }
    let others = refused.nodes - refused.resolvable.len();
    if others > 0 {
        *reasons.entry("Preemption is not helpful for scheduling".to_owned()).or_default() += others;
    }
    Err(Plan::Useless(format!("0/{} nodes are available: {}.", refused.nodes, histogram(&reasons))))
}

/// Whether Pods already end for this one, where its room will be.
fn awaits_victims(pod: &PodInfo, refused: &Unschedulable, world: &World<'_>) -> bool {
    let node = world.nominated.filter(|node| refused.resolvable.contains(node));
    node.is_some_and(|node| are_ending(pod, node, world.cluster, world.ending))
}

/// Whether Pods of lower priority than this one end on a node because of a preemption.
pub(crate) fn are_ending(
    pod: &PodInfo,
    node: NodeIndex,
    cluster: &Cluster,
    ending: &HashSet<String>,
) -> bool {
    let mut pods = cluster.pods_on(node);
    pods.any(|(_, other)| other.priority < pod.priority && ending.contains(&*other.uid))
}

/// Nodes on which the Pod fits without some Pods of lower priority; counts why others are none. It stops at enough, if
/// there is one among them that violates no budget.
fn candidates(
    pod: &PodInfo,
    nodes: &[NodeIndex],
    world: &mut World<'_>,
    draw: impl FnOnce(usize) -> usize,
    reasons: &mut BTreeMap<String, usize>,
) -> Vec<(NodeIndex, Selected)> {
    let mut found = Vec::new();
    if nodes.is_empty() {
        return found;
    }
    let enough = (nodes.len() * world.args.percentage / 100).max(world.args.absolute);
    let (before, after) = nodes.split_at(draw(nodes.len()));
    let mut is_good = false;
    let asker = Asker::new(pod, world.profile, world.cluster, world.scratch);
    for node in after.iter().chain(before) {
        match on_node(&asker, *node, world) {
            Ok(selected) => {
                is_good |= selected.violates_nothing();
                found.push((*node, selected));
            }
            Err(texts) => texts.into_iter().for_each(|text| *reasons.entry(text).or_default() += 1),
        }
        if is_good && found.len() >= enough {
            break;
        }
    }
    found
}

/// The victims on one node, or why there are none, as the user reads it.
fn on_node(asker: &Asker<'_>, node: NodeIndex, world: &mut World<'_>) -> Result<Selected, Vec<String>> {
    let pod = asker.pod();
    let lower = world.cluster.pods_on(node).filter(|(_, other)| other.priority < pod.priority);
    let lower: Vec<_> = lower.map(|other| Candidate::new(other, world.now)).collect();
    if lower.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".to_owned()]);
    }
    let mut supposed = Supposed::new(asker, node, world.cluster, world.scratch);
    let selected = victims::select(lower, world.budgets, &mut supposed);
    selected.map_err(|refusal| refusal.texts(&pod.template))
}

#[cfg(test)]
#[path = "preemption_tests.rs"]
mod tests;
