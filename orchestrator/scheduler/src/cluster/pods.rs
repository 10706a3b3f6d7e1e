//! The Pods that are counted somewhere: little of each, for there are many.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::NodeIndex;
use super::templates::TemplateIndex;
use crate::pod::{PodInfo, Template, Volumes};

/// A placed Pod. Indexes of Pods that are gone are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PodIndex(u32);

impl PodIndex {
    fn get(self) -> usize {
        self.0 as usize
    }
}

/// Where a Pod is counted, and what preemption must know of it.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) uid: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) priority: i32,
    pub(crate) started: Option<Timestamp>,
    pub(crate) is_leaving: bool,
    pub(crate) template: Arc<Template>,
    pub(crate) volumes: Option<Arc<Volumes>>,
    pub(crate) node: NodeIndex,
    /// Whether we have only decided it, and the API does not show it yet.
    pub(crate) is_assumed: bool,
    pub(super) template_index: TemplateIndex,
}

impl Placed {
    pub(super) fn new(pod: &PodInfo, node: NodeIndex, template_index: TemplateIndex) -> Self {
        Self {
            uid: pod.uid.as_str().into(),
            name: pod.name.as_str().into(),
            priority: pod.priority,
            started: pod.started,
            is_leaving: pod.is_leaving,
            template: pod.template.clone(),
            volumes: pod.volumes.clone(),
            node,
            is_assumed: false,
            template_index,
        }
    }

    /// Whether it is what this Pod is, as far as it matters here.
    pub(super) fn is_same(&self, pod: &PodInfo) -> bool {
        self.template == pod.template
            && self.priority == pod.priority
            && self.started == pod.started
            && self.is_leaving == pod.is_leaving
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Pods {
    slots: Vec<Option<Placed>>,
    free: Vec<PodIndex>,
    by_uid: HashMap<Arc<str>, PodIndex>,
}

impl Pods {
    /// Counts a Pod.
    pub(super) fn insert(&mut self, placed: Placed) -> PodIndex {
        let uid = placed.uid.clone();
        let index = if let Some(index) = self.free.pop() {
            self.slots[index.get()] = Some(placed);
            index
        } else {
            self.slots.push(Some(placed));
            PodIndex(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        };
        self.by_uid.insert(uid, index);
        index
    }

    pub(super) fn remove(&mut self, index: PodIndex) -> Option<Placed> {
        let placed = self.slots.get_mut(index.get())?.take()?;
        self.by_uid.remove(&placed.uid);
        self.free.push(index);
        Some(placed)
    }

    pub(super) fn count(&self) -> usize {
        self.by_uid.len()
    }

    pub(super) fn find(&self, uid: &str) -> Option<PodIndex> {
        self.by_uid.get(uid).copied()
    }

    pub(super) fn get(&self, index: PodIndex) -> Option<&Placed> {
        self.slots.get(index.get())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: PodIndex) -> Option<&mut Placed> {
        self.slots.get_mut(index.get())?.as_mut()
    }
}
