//! Why a Pod fits nowhere, in the words that people and tools read.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, NodeIndex};
use crate::plugins::volumes::RefusedEverywhere;
use crate::plugins::{Plugin, PluginSet, Refusal};
use crate::pod::Template;

/// No node fits; nothing went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unschedulable {
    /// How many nodes there are.
    pub(crate) nodes: usize,
    /// What refuses the Pod before any node is looked at.
    pub(crate) before_nodes: Option<String>,
    /// How many nodes refuse for each reason.
    pub(crate) reasons: BTreeMap<String, usize>,
    /// The filters that said no.
    pub(crate) plugins: PluginSet,
    /// The nodes that the end of other Pods might make fit.
    pub(crate) resolvable: Vec<NodeIndex>,
}

impl Unschedulable {
    /// Counts a node's refusal.
    pub(super) fn count(&mut self, refusal: Refusal, nodes: usize, template: &Template) {
        self.plugins.insert(refusal.plugin);
        for text in refusal.texts(template) {
            *self.reasons.entry(text).or_default() += nodes;
        }
    }

    /// Refuses the Pod on all nodes alike.
    pub(super) fn refuse_all(&mut self, reason: &str, plugin: Plugin) {
        self.before_nodes = Some(reason.to_owned());
        self.plugins.insert(plugin);
    }

    /// Refuses a Pod for what its volumes are.
    pub(super) fn everywhere(refused: &RefusedEverywhere, cluster: &Cluster) -> Self {
        let mut all = Self { nodes: cluster.node_count(), ..Self::default() };
        all.refuse_all(&refused.text, refused.plugin);
        all
    }

    /// The message, word for word as upstream; what was tried to make room comes behind it.
    pub(crate) fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let reasons = self.before_nodes.clone().unwrap_or_else(|| histogram(&self.reasons));
        format!("0/{} nodes are available: {reasons}.", self.nodes)
    }
}

/// `2 Insufficient cpu, 1 Too many pods`, sorted as text.
pub(crate) fn histogram(reasons: &BTreeMap<String, usize>) -> String {
    let mut texts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    texts.join(", ")
}
