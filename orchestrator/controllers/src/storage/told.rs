//! What a storage controller tells about objects, once: the same again about the same object is not news.

use std::collections::HashMap;
use std::sync::Arc;

use kube::{Resource, ResourceExt};
use parking_lot::Mutex;

use crate::objects::meta::{reference, uid};
use crate::runtime::cache::Cache;
use crate::runtime::recorder::{Notice, Recorder, Severity};

/// Something an event tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    severity: Severity,
    reason: &'static str,
    pub(super) message: String,
}

impl Said {
    pub(super) fn normal(reason: &'static str, message: String) -> Self {
        Self { severity: Severity::Normal, reason, message }
    }

    pub(super) fn warning(reason: &'static str, message: String) -> Self {
        Self { severity: Severity::Warning, reason, message }
    }
}

/// See the module's documentation. Clones share what they remember.
#[derive(Clone)]
pub(super) struct Told {
    recorder: Recorder,
    component: &'static str,
    /// By uid.
    last: Arc<Mutex<HashMap<String, Said>>>,
}

impl Told {
    pub(super) fn new(recorder: &Recorder, component: &'static str) -> Self {
        Self { recorder: recorder.clone(), component, last: Arc::default() }
    }

    /// Tells something about an object, unless that is what was told last.
    pub(super) fn tell<K: Resource<DynamicType = ()>>(&self, about: &K, said: Said) {
        let before = self.last.lock().insert(uid(about.meta()).to_owned(), said.clone());
        if before.as_ref() != Some(&said) {
            let Said { severity, reason, message } = said;
            let notice = Notice { component: self.component, severity, reason, message };
            self.recorder.event(reference(about), notice);
        }
    }

    /// Forgets objects of the cache when they go.
    pub(super) fn forget_those_gone_of<K: ResourceExt + 'static>(&self, cache: &Cache<K>) {
        let last = self.last.clone();
        cache.on_change(move |change| {
            if let (Some(gone), None) = (change.old, change.new) {
                last.lock().remove(uid(gone.meta()));
            }
        });
    }
}
