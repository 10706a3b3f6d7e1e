//! What is known of Services and EndpointSlices, and which Services changed since they were last planned.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::runtime::watcher::Event;

use super::model::{ObjectKey, Service, Slice};
use super::plan::{ServicePort, plan};
use super::replica::Replica;

/// The state of both watches.
#[derive(Default)]
pub(super) struct World {
    services: Replica<Service>,
    slices: Replica<Slice>,
    /// The slices of each Service.
    by_service: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    changed: BTreeSet<ObjectKey>,
}

impl World {
    /// Takes note of an event of the watch on Services.
    pub(super) fn record_service(&mut self, event: &Event<core::Service>) {
        let changes = self.services.record(event, Service::parse);
        self.changed.extend(changes.into_iter().map(|(key, _)| key));
    }

    /// Takes note of an event of the watch on EndpointSlices.
    pub(super) fn record_slice(&mut self, event: &Event<discovery::EndpointSlice>) {
        for (key, old) in self.slices.record(event, Slice::parse) {
            if let Some(old) = old {
                self.forget(&old.service, &key);
                self.changed.insert(old.service);
            }
            if let Some(new) = self.slices.get(&key) {
                self.by_service.entry(new.service.clone()).or_default().insert(key);
                self.changed.insert(new.service.clone());
            }
        }
    }

    fn forget(&mut self, service: &ObjectKey, slice: &ObjectKey) {
        let Some(slices) = self.by_service.get_mut(service) else { return };
        slices.remove(slice);
        if slices.is_empty() {
            self.by_service.remove(service);
        }
    }

    /// Whether both lists have been seen to their end.
    pub(super) fn complete(&self) -> bool {
        self.services.is_complete() && self.slices.is_complete()
    }

    /// What the Services that changed need now; one that is gone needs no ports.
    pub(super) fn take_changes(&mut self, node: &str) -> BTreeMap<ObjectKey, Vec<ServicePort>> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| (key.clone(), self.ports(&key, node))).collect()
    }

    fn ports(&self, key: &ObjectKey, node: &str) -> Vec<ServicePort> {
        let Some(service) = self.services.get(key) else { return Vec::new() };
        let names = self.by_service.get(key).into_iter().flatten();
        let slices: Vec<&Slice> = names.filter_map(|name| self.slices.get(name)).collect();
        plan(service, &slices, node)
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
