//! The plugins: each is a pure predicate or score in a file of its own, and one line in a table here.

mod balanced_allocation;
mod least_allocated;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod selector;
mod taint_toleration;

use crate::cluster::NodeInfo;
use crate::pod::PodInfo;

/// Why a node does not fit: reasons as the user reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) reasons: Vec<String>,
    /// Whether no Pod's end could change it.
    pub(crate) is_final: bool,
}

impl Misfit {
    fn one(reason: &str, is_final: bool) -> Self {
        Self { reasons: vec![reason.to_owned()], is_final }
    }
}

/// A change that may make room for Pods that found none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A node came.
    NodeAdded,
    /// A node's allocatable resources changed.
    NodeAllocatable,
    /// A node's labels changed.
    NodeLabels,
    /// A node's taints changed, or whether it is open.
    NodeTaints,
    /// A Pod left its node or ended.
    PodGone,
}

/// Decides whether a node fits.
pub(crate) struct Filter {
    pub(crate) name: &'static str,
    pub(crate) fits: fn(&PodInfo, &NodeInfo) -> Result<(), Misfit>,
    /// The changes that may turn this plugin's no into a yes, besides a new node.
    pub(crate) helped_by: &'static [Change],
}

/// Says how good a node that fits is.
pub(crate) struct Score {
    pub(crate) rate: fn(&PodInfo, &NodeInfo) -> i64,
    pub(crate) normalize: Normalize,
    pub(crate) weight: i64,
}

/// How raw scores become scores from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normalize {
    /// They are already.
    Not,
    /// The highest becomes 100.
    Highest,
    /// The lowest possible becomes 100, the highest 0.
    Lowest,
}

/// All filters, in the order they are asked.
pub(crate) const FILTERS: &[Filter] = &[
    node_unschedulable::FILTER,
    node_name::FILTER,
    taint_toleration::FILTER,
    node_affinity::FILTER,
    node_ports::FILTER,
    node_resources_fit::FILTER,
];

/// All scores.
pub(crate) const SCORES: &[Score] =
    &[taint_toleration::SCORE, node_affinity::SCORE, least_allocated::SCORE, balanced_allocation::SCORE];

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
