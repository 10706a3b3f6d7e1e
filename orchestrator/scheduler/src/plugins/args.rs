//! What a profile tells its plugins.

use std::time::Duration;

use crate::pod::{NodeTerm, Spread};

/// A resource and how much it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceSpec {
    pub(crate) name: String,
    pub(crate) weight: i64,
}

/// One corner of the line from utilization (in percent) to score (0 to 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShapePoint {
    pub(crate) utilization: i64,
    pub(crate) score: i64,
}

/// What a node with much or little left is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio(Vec<ShapePoint>),
}

/// Of NodeResourcesFit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FitArgs {
    /// Extended resources that somebody else looks after.
    pub(crate) ignored: Vec<String>,
    /// The same by what stands before the slash.
    pub(crate) ignored_groups: Vec<String>,
    pub(crate) strategy: Strategy,
    pub(crate) resources: Vec<ResourceSpec>,
}

/// The constraints of Pods that have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpreadDefaults {
    /// Softly over zones and nodes.
    System,
    /// These; they have no selectors of their own.
    List(Vec<Spread>),
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) fit: FitArgs,
    /// The resources that NodeResourcesBalancedAllocation keeps in balance.
    pub(crate) balanced: Vec<ResourceSpec>,
    /// What a required term of a placed Pod's affinity is worth to the Pods it speaks of.
    pub(crate) hard_pod_affinity_weight: i64,
    /// Whether wishes of placed Pods do not count.
    pub(crate) ignore_preferred_terms_of_existing_pods: bool,
    /// Terms of which a node must match one, besides what the Pod requires.
    pub(crate) added_required: Option<Vec<NodeTerm>>,
    /// Wishes besides those of the Pod.
    pub(crate) added_preferred: Vec<(i64, NodeTerm)>,
    pub(crate) spread: SpreadDefaults,
    /// How long volumes of a Pod may take until they are bound.
    pub(crate) bind_timeout: Duration,
}

impl Default for Args {
    fn default() -> Self {
        let resources =
            || ["cpu", "memory"].map(|name| ResourceSpec { name: name.to_owned(), weight: 1 }).into();
        Self {
            fit: FitArgs {
                ignored: Vec::new(),
                ignored_groups: Vec::new(),
                strategy: Strategy::LeastAllocated,
                resources: resources(),
            },
            balanced: resources(),
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
            added_required: None,
            added_preferred: Vec::new(),
            spread: SpreadDefaults::System,
            bind_timeout: Duration::from_mins(10),
        }
    }
}
