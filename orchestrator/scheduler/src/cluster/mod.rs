//! Everything that a decision looks at, kept up by every change and never made anew.
//!
//! Guarantees: the aggregates of a node are the sums over the Pods counted on it; a Pod is counted once, be it
//! assumed or confirmed. A node that Pods are counted on but that is not known (yet) keeps them. Every change of
//! a node is in the log, so that what was computed of it can be brought up to date.

mod devices;
mod images;
mod log;
mod node;
mod pods;
mod selectors;
mod storage;
mod symbols;
mod templates;
mod topology;

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Namespace, Node};

pub(crate) use devices::{DeviceId, Devices, Pool, PoolId};
use images::Images;
use log::ChangeLog;
pub(crate) use log::Moment;
pub(crate) use node::{NodeChanges, NodeInfo};
use pods::Pods;
pub(crate) use pods::{Placed, PodIndex};
pub(crate) use selectors::OwnerKind;
pub(crate) use selectors::Selectors;
pub(crate) use storage::{Name, Storage};
pub(crate) use symbols::{Symbol, SymbolSelector, Symbols};
pub(crate) use templates::TemplateIndex;
use templates::Templates;
use topology::Topologies;
pub(crate) use topology::{Domain, KeyIndex};

use crate::event::Event;
use crate::pod::{PodInfo, Template, Volumes};

/// A node. Indexes of nodes that are gone are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIndex(u32);

impl NodeIndex {
    /// The node at a place in a dense list.
    pub(crate) fn new(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The place in a dense list.
    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }

    /// The place, small.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Cluster {
    nodes: Vec<NodeInfo>,
    free: Vec<NodeIndex>,
    by_name: HashMap<String, NodeIndex>,
    known: usize,
    pods: Pods,
    pub(crate) templates: Templates,
    pub(crate) symbols: Symbols,
    pub(crate) images: Images,
    pub(crate) topologies: Topologies,
    pub(crate) selectors: Selectors,
    pub(crate) storage: Storage,
    pub(crate) devices: Devices,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    namespace_changes: u64,
    log: ChangeLog,
}

impl Cluster {
    /// The nodes there are, by index.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &NodeInfo)> {
        let nodes = self.nodes.iter().enumerate().filter(|(_, node)| node.is_known);
        nodes.map(|(place, node)| (NodeIndex::new(place), node))
    }

    /// How many nodes there are.
    pub(crate) fn node_count(&self) -> usize {
        self.known
    }

    /// How many Pods are counted.
    pub(crate) fn pod_count(&self) -> usize {
        self.pods.count()
    }

    /// One more than the highest index of a node.
    pub(crate) fn node_slots(&self) -> usize {
        self.nodes.len()
    }

    /// The node of an index.
    pub(crate) fn node(&self, index: NodeIndex) -> &NodeInfo {
        &self.nodes[index.get()]
    }

    /// The node of a name.
    pub(crate) fn node_named(&self, name: &str) -> Option<NodeIndex> {
        self.by_name.get(name).copied().filter(|index| self.node(*index).is_known)
    }

    /// The Pods counted on a node.
    pub(crate) fn pods_on(&self, node: NodeIndex) -> impl Iterator<Item = (PodIndex, &Placed)> {
        self.node(node).pods.iter().filter_map(|index| Some((*index, self.pods.get(*index)?)))
    }

    /// The volumes of the Pods counted on a node, with their namespaces.
    pub(crate) fn volumes_on(&self, node: NodeIndex) -> impl Iterator<Item = (&str, &Volumes)> {
        let with = self.node(node).with_volumes.iter().filter_map(|index| self.pods.get(*index));
        with.filter_map(|placed| Some((placed.template.namespace.as_str(), placed.volumes.as_deref()?)))
    }

    /// The value of a node's label.
    pub(crate) fn label(&self, node: &NodeInfo, key: &str) -> Option<&str> {
        Some(self.symbols.text(node.labels.get(self.symbols.get(key)?)?))
    }

    /// All labels of a node.
    pub(crate) fn labels(&self, node: &NodeInfo) -> BTreeMap<String, String> {
        let text = |symbol| self.symbols.text(symbol).to_owned();
        node.labels.iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    /// A placed Pod.
    pub(crate) fn pod(&self, index: PodIndex) -> Option<&Placed> {
        self.pods.get(index)
    }

    /// Where the Pod of this uid is counted.
    pub(crate) fn placed(&self, uid: &str) -> Option<PodIndex> {
        self.pods.find(uid)
    }

    /// Whether the Pod of this uid is counted somewhere.
    pub(crate) fn is_placed(&self, uid: &str) -> bool {
        self.placed(uid).is_some()
    }

    /// The labels of a namespace, if it is known.
    pub(crate) fn namespace(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(name)
    }

    /// How often labels of namespaces have changed.
    pub(crate) fn namespace_changes(&self) -> u64 {
        self.namespace_changes
    }

    /// The index of a topology key, which is kept up from now on.
    pub(crate) fn topology(&mut self, key: &str) -> KeyIndex {
        match self.topologies.find(key) {
            Some(index) => index,
            None => self.topologies.add(key, &self.nodes, &mut self.symbols),
        }
    }

    /// The point in the log of changes that is reached.
    pub(crate) fn now(&self) -> Moment {
        self.log.now()
    }

    /// The nodes that changed since, some more than once; nothing if that is too long ago to be known.
    pub(crate) fn changed_since(&self, moment: Moment) -> Option<&[NodeIndex]> {
        self.log.since(moment)
    }

    /// Takes over a node as it is now; returns what changed.
    pub(crate) fn set_node(&mut self, node: &Node) -> Event {
        let index = self.slot(node.metadata.name.as_deref().unwrap_or_default());
        let info = &mut self.nodes[index.get()];
        let is_new = !info.is_known;
        let changes = info.set_node(node, &mut self.symbols);
        let images = self.images.of_node(node);
        if images != info.images {
            self.images.remove(&info.images);
            self.images.add(&images);
            info.images = images;
            self.log.push(index);
        }
        self.topologies.set(index, info);
        self.known += usize::from(is_new);
        if is_new || changes.any() {
            self.log.push(index);
        }
        if is_new { Event::NodeAdded(index) } else { Event::NodeChanged(index, changes) }
    }

    /// Forgets a node; Pods counted on it stay until they go.
    pub(crate) fn remove_node(&mut self, name: &str) -> Option<Event> {
        let index = self.node_named(name)?;
        let info = &mut self.nodes[index.get()];
        self.images.remove(&info.images);
        info.clear_node();
        self.topologies.set(index, info);
        self.known -= 1;
        self.log.push(index);
        self.drop_if_unused(index);
        Some(Event::NodeRemoved)
    }

    /// Whether this Pod is counted already as it is now, and no longer only assumed.
    pub(crate) fn counts(&self, pod: &PodInfo) -> bool {
        let placed = self.placed(&pod.uid).and_then(|index| self.pod(index));
        placed.is_some_and(|placed| !placed.is_assumed && placed.is_same(pod))
    }

    /// Counts a Pod on a node before the API shows it there.
    pub(crate) fn assume(&mut self, pod: &PodInfo, node: NodeIndex) -> Event {
        self.place(pod, node, true)
    }

    /// Takes an assumption back; a Pod that was confirmed since stays.
    pub(crate) fn forget(&mut self, uid: &str) -> Option<Event> {
        let index = self.placed(uid)?;
        if self.pod(index).is_some_and(|placed| placed.is_assumed) { self.remove_pod(uid) } else { None }
    }

    /// Counts a Pod on the node the API shows it on, as it is now; returns what changed by it.
    pub(crate) fn set_pod(&mut self, pod: &PodInfo, node: &str) -> Option<Event> {
        let node = self.slot(node);
        if let Some(index) = self.placed(&pod.uid)
            && let Some(placed) = self.pods.get_mut(index)
            && placed.node == node
            && placed.is_same(pod)
        {
            placed.is_assumed = false;
            return None;
        }
        let before = self.placed(&pod.uid).and_then(|index| self.pod(index));
        let before = before.map(|placed| placed.template.clone());
        let event = self.place(pod, node, false);
        let Some(before) = before else { return Some(event) };
        Some(Event::PodChanged { before, now: pod.template.clone(), node })
    }

    /// Stops counting a Pod; returns what changed, if it was counted.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> Option<Event> {
        let placed = self.take_out(uid)?;
        self.drop_if_unused(placed.node);
        Some(Event::PodGone { template: placed.template, node: placed.node })
    }

    /// Takes over the labels of a namespace; returns whether they changed.
    pub(crate) fn set_namespace(&mut self, namespace: &Namespace) -> Option<Event> {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let labels = namespace.metadata.labels.clone().unwrap_or_default();
        if self.namespaces.get(&name) == Some(&labels) {
            return None;
        }
        self.namespace_changes += 1;
        self.namespaces.insert(name, labels);
        Some(Event::NamespaceChanged)
    }

    /// Forgets a namespace.
    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespace_changes += u64::from(self.namespaces.remove(name).is_some());
    }

    /// Takes what a Pod takes of its node off the node's sums, and nothing else: [`Cluster::occupy`] must follow before
    /// anything but the node by itself is looked at.
    pub(crate) fn release(&mut self, pod: PodIndex) {
        if let Some(pod) = self.pods.get(pod) {
            self.nodes[pod.node.get()].release(&pod.template);
        }
    }

    /// Adds it again.
    pub(crate) fn occupy(&mut self, pod: PodIndex) {
        if let Some(pod) = self.pods.get(pod) {
            self.nodes[pod.node.get()].occupy(&pod.template);
        }
    }

    /// Takes a Pod out for a moment, wherever it counts but by its index and uid: [`Cluster::put_back`] must follow.
    pub(crate) fn lift(&mut self, pod: PodIndex) {
        if let Some(placed) = self.pods.get(pod).cloned() {
            self.leave(pod, &placed);
        }
    }

    /// Puts it back.
    pub(crate) fn put_back(&mut self, pod: PodIndex) {
        if let Some(placed) = self.pods.get_mut(pod) {
            placed.template_index = self.templates.add(&placed.template);
            self.join(pod);
        }
    }

    fn place(&mut self, pod: &PodInfo, node: NodeIndex, assumed: bool) -> Event {
        if let Some(before) = self.take_out(&pod.uid)
            && before.node != node
        {
            self.drop_if_unused(before.node);
        }
        self.keep_topologies_of(&pod.template);
        let template = self.templates.add(&pod.template);
        let mut placed = Placed::new(pod, node, template);
        placed.is_assumed = assumed;
        if let Some(used) = self.templates.get(template) {
            placed.template = used.template.clone();
        }
        self.enter(placed);
        Event::PodPlaced { template: pod.template.clone(), node }
    }

    /// Keeps up the topologies that a placed Pod's terms speak of.
    fn keep_topologies_of(&mut self, template: &Template) {
        let required = template.affinity.iter().chain(&template.anti_affinity);
        for term in required.chain(template.preferred.iter().map(|(_, term)| term)) {
            self.topology(&term.topology_key);
        }
    }

    fn enter(&mut self, placed: Placed) {
        let index = self.pods.insert(placed);
        self.join(index);
    }

    fn take_out(&mut self, uid: &str) -> Option<Placed> {
        let index = self.placed(uid)?;
        let placed = self.pods.remove(index)?;
        self.leave(index, &placed);
        Some(placed)
    }

    /// Counts a Pod on its node, and its volumes.
    fn join(&mut self, index: PodIndex) {
        let Some(placed) = self.pods.get(index) else { return };
        let info = &mut self.nodes[placed.node.get()];
        info.add(index, placed.template_index, &placed.template, placed.is_leaving);
        if let Some(volumes) = &placed.volumes {
            info.with_volumes.push(index);
            for claim in &volumes.claims {
                self.storage.count_user(&placed.template.namespace, &claim.name);
            }
        }
        self.log.push(placed.node);
    }

    fn leave(&mut self, index: PodIndex, placed: &Placed) {
        let node = &mut self.nodes[placed.node.get()];
        node.remove(index, placed.template_index, &placed.template, placed.is_leaving);
        if let Some(volumes) = &placed.volumes {
            node.with_volumes.retain(|other| *other != index);
            for claim in &volumes.claims {
                self.storage.uncount_user(&placed.template.namespace, &claim.name);
            }
        }
        self.templates.remove(placed.template_index);
        self.log.push(placed.node);
    }

    fn slot(&mut self, name: &str) -> NodeIndex {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let info = NodeInfo::new(name.to_owned());
        let index = if let Some(index) = self.free.pop() {
            self.nodes[index.get()] = info;
            index
        } else {
            self.nodes.push(info);
            NodeIndex::new(self.nodes.len() - 1)
        };
        self.by_name.insert(name.to_owned(), index);
        index
    }

    fn drop_if_unused(&mut self, index: NodeIndex) {
        let info = &mut self.nodes[index.get()];
        if !info.is_known && info.pods.is_empty() && self.by_name.remove(&info.name).is_some() {
            *info = NodeInfo::default();
            self.free.push(index);
        }
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
