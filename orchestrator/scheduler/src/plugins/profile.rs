//! Which plugins decide for the Pods of one scheduler name.

use super::args::Args;
use super::{Plugin, PluginSet};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) scheduler_name: String,
    pub(crate) filters: PluginSet,
    /// What each plugin's score counts for.
    pub(crate) scores: Vec<(Plugin, i64)>,
    pub(crate) args: Args,
}

impl Profile {
    /// The profile of those who configure nothing.
    pub(crate) fn new(scheduler_name: String) -> Self {
        let scores = vec![
            (Plugin::TaintToleration, 3),
            (Plugin::NodeAffinity, 2),
            (Plugin::NodeResourcesFit, 1),
            (Plugin::PodTopologySpread, 2),
            (Plugin::InterPodAffinity, 2),
            (Plugin::NodeResourcesBalancedAllocation, 1),
            (Plugin::ImageLocality, 1),
            (Plugin::WasmLocality, 1),
        ];
        Self { scheduler_name, filters: PluginSet::all(), scores, args: Args::default() }
    }

    /// What a plugin's score counts for; nothing if it is not asked.
    pub(crate) fn weight(&self, plugin: Plugin) -> i64 {
        self.scores.iter().find(|(scored, _)| *scored == plugin).map_or(0, |(_, weight)| *weight)
    }
}
