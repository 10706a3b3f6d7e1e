//! A Pod's node selector and node affinity: what it requires and what it would like.

use super::{Change, Filter, Misfit, Normalize, Score, selector};
use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

pub(super) const FILTER: Filter = Filter { name: "NodeAffinity", fits, helped_by: &[Change::NodeLabels] };

/// The weights of the preferences the node satisfies.
pub(super) const SCORE: Score = Score { rate, normalize: Normalize::Highest, weight: 2 };

fn fits(pod: &PodInfo, node: &NodeInfo) -> Result<(), Misfit> {
    let labels = node.labels();
    let selected = pod.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let required = pod.required_affinity.as_ref();
    let affine = required
        .is_none_or(|required| required.node_selector_terms.iter().any(|term| selector::matches(term, node)));
    if selected && affine { Ok(()) } else { Err(Misfit::one(REASON, true)) }
}

fn rate(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let liked =
        pod.preferred_affinity.iter().filter(|preferred| selector::matches(&preferred.preference, node));
    liked.map(|preferred| i64::from(preferred.weight)).sum()
}
