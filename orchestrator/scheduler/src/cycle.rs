//! One decision: which node a Pod goes to, or why to none.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Cluster, NodeInfo};
use crate::plugins::{FILTERS, Misfit, Normalize, SCORES, Score};
use crate::pod::PodInfo;

/// No node fits; nothing went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unschedulable {
    /// What the user reads, word for word as upstream.
    pub(crate) message: String,
    /// The names of the filters that said no.
    pub(crate) plugins: BTreeSet<&'static str>,
}

/// Decides. `draw` chooses between equally good nodes: it returns a number below its argument.
pub(crate) fn schedule(
    pod: &PodInfo,
    cluster: &Cluster,
    mut draw: impl FnMut(usize) -> usize,
) -> Result<String, Unschedulable> {
    let mut fitting = Vec::new();
    let mut refusals = Vec::new();
    for node in cluster.nodes() {
        match filter(pod, node) {
            Ok(()) => fitting.push(node),
            Err((plugin, misfit)) => refusals.push((node, plugin, misfit)),
        }
    }
    if fitting.is_empty() {
        return Err(unschedulable(pod, &refusals));
    }
    let mut best = best(pod, &fitting);
    best.sort_by(|a, b| a.name.cmp(&b.name));
    let chosen = if best.len() > 1 { draw(best.len()) } else { 0 };
    Ok(best[chosen].name.clone())
}

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), (&'static str, Misfit)> {
    FILTERS.iter().try_for_each(|plugin| (plugin.fits)(pod, node).map_err(|misfit| (plugin.name, misfit)))
}

/// The nodes with the highest sum of scores.
fn best<'n>(pod: &PodInfo, nodes: &[&'n NodeInfo]) -> Vec<&'n NodeInfo> {
    if nodes.len() == 1 {
        return nodes.to_vec();
    }
    let mut totals = vec![0; nodes.len()];
    for plugin in SCORES {
        for (total, score) in totals.iter_mut().zip(scores(plugin, pod, nodes)) {
            *total += score * plugin.weight;
        }
    }
    let highest = totals.iter().max().copied().unwrap_or(0);
    nodes.iter().zip(totals).filter(|(_, total)| *total == highest).map(|(node, _)| *node).collect()
}

fn scores(plugin: &Score, pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let raw: Vec<_> = nodes.iter().map(|node| (plugin.rate)(pod, node)).collect();
    let highest = raw.iter().max().copied().unwrap_or(0);
    match plugin.normalize {
        Normalize::Not => raw,
        Normalize::Highest if highest == 0 => raw,
        Normalize::Highest => raw.into_iter().map(|score| score * 100 / highest).collect(),
        Normalize::Lowest if highest == 0 => vec![100; raw.len()],
        Normalize::Lowest => raw.into_iter().map(|score| 100 - score * 100 / highest).collect(),
    }
}

type Refusal<'n> = (&'n NodeInfo, &'static str, Misfit);

fn unschedulable(pod: &PodInfo, refusals: &[Refusal<'_>]) -> Unschedulable {
    if refusals.is_empty() {
        let message = "no nodes available to schedule pods".to_owned();
        return Unschedulable { message, plugins: BTreeSet::new() };
    }
    let reasons = refusals.iter().flat_map(|(_, _, misfit)| misfit.reasons.iter().map(String::as_str));
    let preemption = preemption(pod, refusals).map(|text| format!(" preemption: {text}")).unwrap_or_default();
    let message = format!("0/{} nodes are available: {}.{preemption}", refusals.len(), histogram(reasons));
    Unschedulable { message, plugins: refusals.iter().map(|(_, plugin, _)| *plugin).collect() }
}

/// Why ending other Pods would not help; nothing if it would, for that is not done.
fn preemption(pod: &PodInfo, refusals: &[Refusal<'_>]) -> Option<String> {
    if !pod.may_preempt {
        return Some("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let mut reasons = Vec::new();
    for (node, _, misfit) in refusals {
        if misfit.is_final {
            reasons.push("Preemption is not helpful for scheduling");
        } else if node.pods().any(|other| other.priority < pod.priority) {
            return None;
        } else {
            reasons.push("No preemption victims found for incoming pod");
        }
    }
    Some(format!("0/{} nodes are available: {}.", refusals.len(), histogram(reasons.into_iter())))
}

/// `2 Insufficient cpu, 1 Too many pods`, sorted as text.
fn histogram<'r>(reasons: impl Iterator<Item = &'r str>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut texts: Vec<_> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    texts.join(", ")
}

#[cfg(test)]
#[path = "cycle_tests.rs"]
mod tests;
