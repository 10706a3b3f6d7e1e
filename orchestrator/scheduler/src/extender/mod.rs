//! Others who are asked about Pods over HTTP: which nodes fit, which are good, who may have to end, and to bind.
//!
//! Flow: after the plugins, each extender that a Pod concerns is asked in the order of the configuration, while the cycle
//! waits. Where none is configured, nothing here is ever reached.

mod client;
mod settings;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Node, Pod};
use kube::ResourceExt as _;

pub use client::ConnectError;
pub(crate) use client::{Extender, ExtenderError, Offered};
pub(crate) use settings::{Settings, Tls, Verbs};
pub(crate) use wire::{MetaPod, MetaVictims, WholeVictims};

/// All of them, and the nodes as they have to be told those who know none.
#[derive(Default)]
pub(crate) struct Extenders {
    all: Arc<[Extender]>,
    /// By name; nothing if all know the nodes themselves.
    nodes: Option<HashMap<String, Arc<Node>>>,
}

impl Extenders {
    /// Gets ready to ask those that are configured.
    pub(crate) async fn connect(settings: &[Settings]) -> Result<Self, ConnectError> {
        let mut all = Vec::new();
        for settings in settings {
            all.push(Extender::connect(settings.clone()).await?);
        }
        let nodes = all.iter().any(Extender::is_told_nodes).then(HashMap::new);
        Ok(Self { all: all.into(), nodes })
    }

    /// Whether some are asked about a Pod before it has a node.
    pub(crate) fn concern(&self, pod: &Pod) -> bool {
        self.all.iter().any(|extender| extender.decides() && extender.is_interested(pod))
    }

    /// Those that look after a Pod.
    pub(crate) fn of(&self, pod: &Pod) -> Vec<Extender> {
        self.all.iter().filter(|extender| extender.is_interested(pod)).cloned().collect()
    }

    /// The one that binds a Pod, if one does.
    pub(crate) fn binder(&self, pod: &Pod) -> Option<Extender> {
        self.all.iter().find(|extender| extender.binds() && extender.is_interested(pod)).cloned()
    }

    /// Keeps a node as it is, if somebody must be told.
    pub(crate) fn set_node(&mut self, node: &Node) {
        if let Some(nodes) = &mut self.nodes {
            let mut node = node.clone();
            node.metadata.managed_fields = None;
            nodes.insert(node.name_any(), Arc::new(node));
        }
    }

    /// Forgets a node.
    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some(nodes) = &mut self.nodes {
            nodes.remove(name);
        }
    }

    /// The nodes of these names, as they are.
    pub(crate) fn nodes(&self, names: &[String]) -> Vec<Arc<Node>> {
        let Some(nodes) = &self.nodes else { return Vec::new() };
        names.iter().filter_map(|name| nodes.get(name).cloned()).collect()
    }
}

/// Whether some container of a Pod asks for a resource that is looked after.
fn asks_for(pod: &Pod, is_managed: impl Fn(&str) -> bool) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let asks = |container: &Container| {
        let resources = container.resources.iter();
        let lists = resources.flat_map(|resources| [&resources.requests, &resources.limits]);
        lists.flatten().flat_map(|list| list.keys()).any(|name| is_managed(name))
    };
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(asks)
}

#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
