//! The templates of the Pods that are placed, each once.
//!
//! An index is used again when its template is gone, with another serial number: who remembers something about an
//! index remembers its serial.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pod::Template;

/// A template of placed Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TemplateIndex(u32);

impl TemplateIndex {
    /// The place in a dense list.
    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }
}

/// A template in use.
pub(crate) struct Used {
    pub(crate) template: Arc<Template>,
    /// Tells this use of the index from others before and after.
    pub(crate) serial: u64,
    pods: usize,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Templates {
    slots: Vec<Option<Used>>,
    free: Vec<TemplateIndex>,
    by_content: HashMap<Arc<Template>, TemplateIndex>,
    serials: u64,
    /// How many templates have terms of affinity, of any kind.
    with_terms: usize,
    /// How many keep others away.
    keeping_away: usize,
}

impl Templates {
    /// Counts one more Pod of a template.
    pub(super) fn add(&mut self, template: &Arc<Template>) -> TemplateIndex {
        if let Some(index) = self.by_content.get(template) {
            if let Some(used) = &mut self.slots[index.get()] {
                used.pods += 1;
            }
            return *index;
        }
        self.serials += 1;
        self.with_terms += usize::from(template.has_terms());
        self.keeping_away += usize::from(!template.anti_affinity.is_empty());
        let used = Used { template: template.clone(), serial: self.serials, pods: 1 };
        let index = if let Some(index) = self.free.pop() {
            self.slots[index.get()] = Some(used);
            index
        } else {
            self.slots.push(Some(used));
            TemplateIndex(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        };
        self.by_content.insert(template.clone(), index);
        index
    }

    /// Counts one Pod less.
    pub(super) fn remove(&mut self, index: TemplateIndex) {
        let Some(used) = self.slots[index.get()].as_mut() else { return };
        used.pods -= 1;
        if used.pods == 0 {
            self.with_terms -= usize::from(used.template.has_terms());
            self.keeping_away -= usize::from(!used.template.anti_affinity.is_empty());
            self.by_content.remove(&used.template);
            self.slots[index.get()] = None;
            self.free.push(index);
        }
    }

    /// A template in use.
    pub(crate) fn get(&self, index: TemplateIndex) -> Option<&Used> {
        self.slots.get(index.get())?.as_ref()
    }

    /// Whether any placed Pod has terms of affinity.
    pub(crate) fn have_terms(&self) -> bool {
        self.with_terms > 0
    }

    /// Whether any must not be with some others.
    pub(crate) fn keep_away(&self) -> bool {
        self.keeping_away > 0
    }
}
