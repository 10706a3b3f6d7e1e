//! The steps of a decision one by one, for those who ask others between them.

use std::collections::HashMap;

use super::{Decision, Question, Scratch, Unschedulable, add_up};
use crate::cluster::{Cluster, NodeIndex};
use crate::plugins::Profile;
use crate::plugins::needs::Needs;
use crate::pod::PodInfo;

/// All nodes that fit, or why none does.
pub(crate) fn fitting(
    pod: &PodInfo,
    cluster: &mut Cluster,
    profile: &Profile,
    scratch: &mut Scratch,
) -> Result<Vec<NodeIndex>, Unschedulable> {
    let class = scratch.class(pod, cluster, profile);
    let needs =
        Needs::of(pod, cluster, profile).map_err(|refused| Unschedulable::everywhere(&refused, cluster))?;
    let Scratch { classes, nodes, .. } = scratch;
    let question = Question { pod, needs: needs.as_ref(), cluster, profile };
    question.find_fitting(&classes[class], nodes);
    if nodes.is_empty() {
        return Err(question.refused(&classes[class]));
    }
    Ok(nodes.iter().map(|node| NodeIndex::new(*node as usize)).collect())
}

/// Why the nodes that do not fit do not.
pub(crate) fn refusals(
    pod: &PodInfo,
    cluster: &mut Cluster,
    profile: &Profile,
    scratch: &mut Scratch,
) -> Unschedulable {
    let class = scratch.class(pod, cluster, profile);
    match Needs::of(pod, cluster, profile) {
        Ok(needs) => {
            let question = Question { pod, needs: needs.as_ref(), cluster, profile };
            question.refused(&scratch.classes[class])
        }
        Err(refused) => Unschedulable::everywhere(&refused, cluster),
    }
}

/// The best of some nodes that fit, given what others say of them besides. `draw` chooses between equally good ones.
pub(crate) fn best_of(
    (pod, fitting): (&PodInfo, &[NodeIndex]),
    others: &HashMap<NodeIndex, i64>,
    (cluster, profile): (&mut Cluster, &Profile),
    scratch: &mut Scratch,
    draw: impl FnOnce(usize) -> usize,
) -> Option<Decision> {
    let class = scratch.class(pod, cluster, profile);
    let Scratch { classes, nodes, totals, .. } = scratch;
    nodes.clear();
    nodes.extend(fitting.iter().map(|node| node.number()));
    nodes.sort_unstable();
    add_up(&classes[class], cluster, profile, nodes, totals);
    for (node, total) in nodes.iter().zip(totals.iter_mut()) {
        *total = total.saturating_add(others.get(&NodeIndex::new(*node as usize)).copied().unwrap_or(0));
    }
    let highest = totals.iter().max()?;
    let best: Vec<_> = nodes.iter().zip(&*totals).filter(|(_, total)| *total == highest).collect();
    let chosen = if best.len() > 1 { draw(best.len()) } else { 0 };
    let (node, _) = best.get(chosen)?;
    Some(Decision { node: NodeIndex::new(**node as usize), feasible: nodes.len() })
}
