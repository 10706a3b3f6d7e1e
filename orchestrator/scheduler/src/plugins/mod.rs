//! The plugins: each is a pure predicate or score in a file of its own, and one line in a table here.
//!
//! Most look at one node by itself. PodTopologySpread and InterPodAffinity look at what the domain of a node holds;
//! the cycle keeps those counts up and asks them last.

mod args;
mod ask;
mod balanced_allocation;
pub(crate) mod dynamic_resources;
mod image_locality;
pub(crate) mod inter_pod_affinity;
mod name;
pub(crate) mod needs;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod number;
pub(crate) mod pod_topology_spread;
mod profile;
mod resource_score;
mod taint_toleration;
pub(crate) mod volumes;
mod wasm_locality;

pub(crate) use args::{Args, FitArgs, ResourceSpec, ShapePoint, SpreadDefaults, Strategy};
pub(crate) use ask::{Ask, Prepared};
pub(crate) use inter_pod_affinity as affinity;
pub(crate) use name::{Plugin, PluginSet};
pub(crate) use node_affinity::NOT_NAMED;
pub(crate) use node_name::REFUSAL as NAME_REFUSAL;
pub(crate) use node_resources_fit::texts as shortage_texts;
pub(crate) use number::{float, whole};
pub(crate) use pod_topology_spread as spread;
pub(crate) use pod_topology_spread::HOSTNAME;
pub(crate) use profile::Profile;

use crate::cluster::{Cluster, NodeInfo};
use crate::event::Event;
use crate::pod::{PodInfo, Template};

/// Why a node does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// As the user reads it.
    Text(&'static str),
    /// Too little of some of the resources the Pod asks for, by their place: Pods, CPU, memory, ephemeral storage,
    /// then the extended ones in the order of their names.
    Lacks(u64),
    /// Some of what VolumeBinding says.
    Volumes(u8),
}

/// A plugin's no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    pub(crate) plugin: Plugin,
    pub(crate) why: Why,
    /// Whether no Pod's end could change it.
    pub(crate) is_final: bool,
}

impl Refusal {
    /// A no that only a change of the node can turn into a yes.
    pub(crate) const fn for_good(plugin: Plugin, text: &'static str) -> Self {
        Self { plugin, why: Why::Text(text), is_final: true }
    }

    /// The reasons as the user reads them.
    pub(crate) fn texts(self, template: &Template) -> Vec<String> {
        match self.why {
            Why::Text(text) => vec![text.to_owned()],
            Why::Lacks(lacking) => shortage_texts(lacking, template).collect(),
            Why::Volumes(reasons) => volumes::texts(reasons).collect(),
        }
    }

    /// A no that the end of other Pods may turn into a yes.
    pub(crate) fn for_now(plugin: Plugin, text: &'static str) -> Self {
        Self { plugin, why: Why::Text(text), is_final: false }
    }
}

/// Decides whether a node fits, looked at by itself.
pub(crate) type Fits = fn(&Ask<'_>, &NodeInfo) -> Result<(), Refusal>;

/// The filters that look at one node, in the order they are asked.
pub(crate) const FILTERS: &[(Plugin, Fits)] = &[
    (Plugin::NodeUnschedulable, node_unschedulable::fits),
    (Plugin::TaintToleration, taint_toleration::fits),
    (Plugin::NodeAffinity, node_affinity::fits),
    (Plugin::NodePorts, node_ports::fits),
    (Plugin::NodeResourcesFit, node_resources_fit::fits),
];

/// Says how good a node that fits is, looked at by itself.
pub(crate) struct Score {
    pub(crate) plugin: Plugin,
    pub(crate) rate: fn(&Ask<'_>, &NodeInfo) -> i64,
    pub(crate) normalize: Normalize,
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

/// The scores that look at one node.
pub(crate) const SCORES: &[Score] = &[
    Score { plugin: Plugin::TaintToleration, rate: taint_toleration::rate, normalize: Normalize::Lowest },
    Score { plugin: Plugin::NodeAffinity, rate: node_affinity::rate, normalize: Normalize::Highest },
    Score { plugin: Plugin::NodeResourcesFit, rate: node_resources_fit::rate, normalize: Normalize::Not },
    Score {
        plugin: Plugin::NodeResourcesBalancedAllocation,
        rate: balanced_allocation::rate,
        normalize: Normalize::Not,
    },
    Score { plugin: Plugin::ImageLocality, rate: image_locality::rate, normalize: Normalize::Not },
    Score { plugin: Plugin::WasmLocality, rate: wasm_locality::rate, normalize: Normalize::Not },
];

/// Whether an event may turn the no of one of these plugins to this Pod into a yes.
pub(crate) fn helps(event: &Event, plugins: PluginSet, pod: &PodInfo, cluster: &Cluster) -> bool {
    plugins.iter().any(|plugin| {
        let helps = match plugin {
            Plugin::NodeUnschedulable => node_unschedulable::helps,
            Plugin::NodeName => node_name::helps,
            Plugin::TaintToleration => taint_toleration::helps,
            Plugin::NodeAffinity => node_affinity::helps,
            Plugin::NodePorts => node_ports::helps,
            Plugin::NodeResourcesFit => node_resources_fit::helps,
            Plugin::VolumeRestrictions
            | Plugin::NodeVolumeLimits
            | Plugin::VolumeBinding
            | Plugin::VolumeZone => volumes::helps,
            Plugin::PodTopologySpread => pod_topology_spread::helps,
            Plugin::InterPodAffinity => inter_pod_affinity::helps,
            // Nobody knows what an extender looks at.
            Plugin::Extender => return true,
            Plugin::DynamicResources => dynamic_resources::helps,
            Plugin::NodeResourcesBalancedAllocation | Plugin::ImageLocality | Plugin::WasmLocality => {
                return false;
            }
        };
        helps(pod, cluster, event)
    })
}

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
