//! The extenders that a Pod concerns, asked one after the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client};
use tracing::debug;

use super::Shared;
use crate::cluster::{Cluster, NodeIndex, Placed};
use crate::extender::{Extender, ExtenderError, Extenders, MetaPod, MetaVictims, Offered, WholeVictims};
use crate::preemption::Victims;

/// The nodes on which some Pods could end, by place.
type Offers = Vec<(NodeIndex, Victims)>;

/// Why a node does not fit: its name, the text, and whether it is final.
type Refused = (String, String, bool);

/// See the module's documentation.
pub(super) struct Panel<'s> {
    pub(super) pod: &'s Shared,
    pub(super) asked: &'s [Extender],
    pub(super) cluster: &'s Cluster,
    pub(super) extenders: &'s Extenders,
    pub(super) client: &'s Client,
}

impl Panel<'_> {
    /// The nodes that all extenders let pass, and why the others do not.
    pub(super) async fn filter(
        &self,
        mut nodes: Vec<NodeIndex>,
    ) -> Result<(Vec<NodeIndex>, Vec<Refused>), ExtenderError> {
        let mut refused = Vec::new();
        for extender in self.asked {
            if nodes.is_empty() {
                break;
            }
            let (names, objects) = self.offered(&nodes);
            let offered = Offered { names: &names, objects: &objects };
            match extender.filter(&self.pod.object, offered).await {
                Ok(filtered) => {
                    let fit = filtered.fit.iter();
                    nodes = fit.filter_map(|name| self.cluster.node_named(name)).collect();
                    refused.extend(filtered.refused);
                }
                Err(error) if extender.is_ignorable() => skipped(extender, &error),
                Err(error) => return Err(error),
            }
        }
        Ok((nodes, refused))
    }

    fn offered(&self, nodes: &[NodeIndex]) -> (Vec<String>, Vec<Arc<Node>>) {
        let names: Vec<_> = nodes.iter().map(|node| self.cluster.node(*node).name.clone()).collect();
        let objects = self.extenders.nodes(&names);
        (names, objects)
    }

    /// What extenders think of nodes. Those that fail have no opinion.
    pub(super) async fn scores(&self, nodes: &[NodeIndex]) -> HashMap<NodeIndex, i64> {
        let (names, objects) = self.offered(nodes);
        let offered = Offered { names: &names, objects: &objects };
        let ask = |extender: &Extender| {
            let extender = extender.clone();
            async move {
                let said = extender.prioritize(&self.pod.object, offered).await;
                said.inspect_err(|error| skipped(&extender, error)).unwrap_or_default()
            }
        };
        let mut scores = HashMap::<NodeIndex, i64>::new();
        for (name, score) in join_all(self.asked.iter().map(ask)).await.into_iter().flatten() {
            if let Some(node) = self.cluster.node_named(&name) {
                let sum = scores.entry(node).or_default();
                *sum = sum.saturating_add(score);
            }
        }
        scores
    }

    /// The nodes that are left of those on which Pods could end, and who they are.
    pub(super) async fn offers(&self, mut found: Offers) -> Result<Offers, String> {
        for extender in self.asked.iter().filter(|extender| extender.preempts()) {
            match self.ask_for_victims(&found, extender).await {
                Ok(fewer) => found = fewer,
                Err(error) if extender.is_ignorable() => skipped(extender, &error),
                Err(error) => return Err(error.to_string()),
            }
            if found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    async fn ask_for_victims(&self, found: &Offers, extender: &Extender) -> Result<Offers, ExtenderError> {
        let by_uid: BTreeMap<_, _> = found.iter().map(|(node, victims)| self.meta(*node, victims)).collect();
        let mut whole = None;
        if extender.is_told_pods() {
            let mut nodes = BTreeMap::new();
            for (node, victims) in found {
                let pods = self.whole(victims).await;
                let name = self.cluster.node(*node).name.clone();
                nodes.insert(name, WholeVictims { pods, violations: victims.violations });
            }
            whole = Some(nodes);
        }
        let answer = extender.preempt(&self.pod.object, &by_uid, whole.as_ref()).await?;
        let mut offers = Vec::new();
        for (name, victims) in answer {
            if !victims.pods.is_empty() {
                offers.push(self.victims(&name, &victims, extender)?);
            } else if !extender.is_ignorable() {
                let text = format!("expected at least one victim pod on node {name:?}");
                return Err(ExtenderError::Said(text));
            }
        }
        Ok(offers)
    }

    fn meta(&self, node: NodeIndex, victims: &Victims) -> (String, MetaVictims) {
        let pods = victims.pods.iter().map(|pod| MetaPod { uid: pod.uid.to_string() }).collect();
        (self.cluster.node(node).name.clone(), MetaVictims { pods, violations: victims.violations })
    }

    /// The Pods as the API has them: of placed Pods too little is kept. Those that are gone are left out.
    async fn whole(&self, victims: &Victims) -> Vec<Pod> {
        let get = |pod: &Placed| {
            let api = Api::<Pod>::namespaced(self.client.clone(), &pod.template.namespace);
            let name = pod.name.clone();
            async move { api.get_opt(&name).await.ok().flatten() }
        };
        join_all(victims.pods.iter().map(get)).await.into_iter().flatten().collect()
    }

    fn victims(
        &self,
        name: &str,
        victims: &MetaVictims,
        extender: &Extender,
    ) -> Result<(NodeIndex, Victims), ExtenderError> {
        let unknown = || ExtenderError::Said(format!("nodeinfo not found for node name {name:?}"));
        let node = self.cluster.node_named(name).ok_or_else(unknown)?;
        let find = |victim: &MetaPod| {
            let found = self.cluster.pods_on(node).find(|(_, pod)| *pod.uid == *victim.uid);
            found.map(|(_, pod)| pod.clone()).ok_or_else(|| {
                ExtenderError::Said(format!(
                    "extender: {} claims to preempt pod (UID: {}) on node: {name}, but the pod is not found on that node",
                    extender.url(),
                    victim.uid
                ))
            })
        };
        let pods = victims.pods.iter().map(find).collect::<Result<_, _>>()?;
        Ok((node, Victims { pods, violations: victims.violations }))
    }
}

fn skipped(extender: &Extender, error: &ExtenderError) {
    let error = error as &dyn std::error::Error;
    debug!(extender = extender.url(), error, "an extender failed and is ignored");
}
