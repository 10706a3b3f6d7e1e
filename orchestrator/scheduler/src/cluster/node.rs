//! One node with the sums over the Pods counted on it.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Node;

use super::images::NodeImage;
use super::pods::PodIndex;
use super::symbols::{LabelSet, Symbols};
use super::templates::TemplateIndex;
use crate::pod::resources::Resources;
use crate::pod::{HostPort, Taint, Template};

/// What changed at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeChanges {
    pub(crate) allocatable: bool,
    pub(crate) labels: bool,
    /// Its taints, or whether it is open.
    pub(crate) taints: bool,
}

impl NodeChanges {
    /// Whether anything did.
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }
}

/// The Pods of one template on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Residents {
    pub(crate) template: TemplateIndex,
    pub(crate) count: u32,
    /// Those of them that are on their way out.
    pub(crate) leaving: u32,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct NodeInfo {
    pub(crate) name: String,
    /// Whether the API shows it, and not only Pods name it.
    pub(crate) is_known: bool,
    /// Whether somebody closed it to new Pods.
    pub(crate) is_unschedulable: bool,
    pub(crate) labels: LabelSet,
    pub(crate) taints: Vec<Taint>,
    pub(crate) allocatable: Resources,
    pub(crate) requested: Resources,
    pub(crate) scored: Resources,
    /// The ports in use, and by how many Pods.
    pub(crate) ports: HashMap<HostPort, usize>,
    /// The images present, sorted.
    pub(crate) images: Vec<NodeImage>,
    /// The Pods by template, sorted.
    pub(crate) residents: Vec<Residents>,
    pub(super) pods: Vec<PodIndex>,
    /// Those of them that have volumes that matter.
    pub(super) with_volumes: Vec<PodIndex>,
}

impl NodeInfo {
    pub(super) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Takes over the node as it is now, but for its images.
    pub(super) fn set_node(&mut self, node: &Node, symbols: &mut Symbols) -> NodeChanges {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let allocatable = allocatable.map(Resources::parse).unwrap_or_default();
        let labels = node.metadata.labels.iter().flatten();
        let labels = labels.map(|(key, value)| (symbols.intern(key), symbols.intern(value))).collect();
        let labels = LabelSet::new(labels);
        let spec = node.spec.as_ref();
        let taints = spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        let taints: Vec<_> = taints.filter_map(Taint::parse).collect();
        let is_unschedulable = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
        let changes = NodeChanges {
            allocatable: allocatable != self.allocatable,
            labels: labels != self.labels,
            taints: taints != self.taints || is_unschedulable != self.is_unschedulable,
        };
        self.is_known = true;
        (self.allocatable, self.labels, self.taints) = (allocatable, labels, taints);
        self.is_unschedulable = is_unschedulable;
        changes
    }

    pub(super) fn clear_node(&mut self) {
        let before = std::mem::take(self);
        let Self { name, requested, scored, ports, residents, pods, with_volumes, .. } = before;
        *self = Self { name, requested, scored, ports, residents, pods, with_volumes, ..Self::default() };
    }

    /// Adds what a Pod takes to the sums.
    pub(super) fn occupy(&mut self, template: &Template) {
        self.requested += &template.requests;
        self.scored += &template.scored;
        for port in &template.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
    }

    /// Takes it off again.
    pub(super) fn release(&mut self, template: &Template) {
        self.requested -= &template.requests;
        self.scored -= &template.scored;
        for port in &template.ports {
            if let Some(users) = self.ports.get_mut(port) {
                *users -= 1;
                if *users == 0 {
                    self.ports.remove(port);
                }
            }
        }
    }

    pub(super) fn add(&mut self, pod: PodIndex, index: TemplateIndex, template: &Template, is_leaving: bool) {
        self.occupy(template);
        self.pods.push(pod);
        let at = match self.residents.binary_search_by_key(&index, |residents| residents.template) {
            Ok(at) => at,
            Err(at) => {
                self.residents.insert(at, Residents { template: index, count: 0, leaving: 0 });
                at
            }
        };
        self.residents[at].count += 1;
        self.residents[at].leaving += u32::from(is_leaving);
    }

    pub(super) fn remove(&mut self, pod: PodIndex, index: TemplateIndex, template: &Template, leaving: bool) {
        self.release(template);
        self.pods.retain(|other| *other != pod);
        let found = self.residents.binary_search_by_key(&index, |residents| residents.template);
        let Ok(at) = found else { return };
        self.residents[at].count -= 1;
        self.residents[at].leaving -= u32::from(leaving);
        if self.residents[at].count == 0 {
            self.residents.remove(at);
        }
    }
}
