//! What is known of Services and EndpointSlices, and which Services changed since they were last planned.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::ResourceExt;
use kube::runtime::watcher::Event;

use super::fronts::Fronts;
use super::health::Health;
use super::model::{ObjectKey, Service, Slice};
use super::plan::{Place, ServicePort, plan, ready_on};
use super::replica::Replica;

const ZONE: &str = "topology.kubernetes.io/zone";

/// What the Services that changed need now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// One that is gone needs no ports.
    pub(super) ports: BTreeMap<ObjectKey, Vec<ServicePort>>,
    /// What is told of them to load balancers.
    pub(super) health: BTreeMap<ObjectKey, Option<Health>>,
}

/// The state of the watches.
pub(super) struct World {
    here: Place,
    services: Replica<Service>,
    slices: Replica<Slice>,
    /// The slices of each Service.
    by_service: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    fronts: Fronts,
    changed: BTreeSet<ObjectKey>,
}

impl World {
    /// As the node of that name sees it.
    pub(super) fn new(node: &str) -> Self {
        Self {
            here: Place { node: node.to_owned(), zone: None },
            services: Replica::default(),
            slices: Replica::default(),
            by_service: BTreeMap::new(),
            fronts: Fronts::default(),
            changed: BTreeSet::new(),
        }
    }

    /// Takes note of an event of the watch on Services.
    pub(super) fn record_service(&mut self, event: &Event<core::Service>) {
        for (key, old) in self.services.record(event, Service::parse) {
            self.changed.extend(self.fronts.change(&key, old.as_ref(), self.services.get(&key)));
            self.changed.insert(key);
        }
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

    /// Takes note of an event of the watch on this node's own object. Until it comes, and after it went, the node is in no zone.
    pub(super) fn record_node(&mut self, event: &Event<core::Node>) {
        let zone = match event {
            Event::Apply(node) | Event::InitApply(node) => node.labels().get(ZONE).cloned(),
            Event::Delete(_) => None,
            Event::Init | Event::InitDone => return,
        };
        if self.here.zone != zone {
            self.here.zone = zone;
            self.changed.extend(self.by_service.keys().cloned());
        }
    }

    fn forget(&mut self, service: &ObjectKey, slice: &ObjectKey) {
        let Some(slices) = self.by_service.get_mut(service) else { return };
        slices.remove(slice);
        if slices.is_empty() {
            self.by_service.remove(service);
        }
    }

    /// Whether the lists of Services and slices have been seen to their end.
    pub(super) fn complete(&self) -> bool {
        self.services.is_complete() && self.slices.is_complete()
    }

    /// What the Services that changed need now.
    pub(super) fn take_changes(&mut self) -> Changes {
        let changed = std::mem::take(&mut self.changed);
        let mut changes = Changes::default();
        for key in changed {
            changes.health.insert(key.clone(), self.health(&key));
            changes.ports.insert(key.clone(), self.ports(&key));
        }
        changes
    }

    fn ports(&self, key: &ObjectKey) -> Vec<ServicePort> {
        let Some(service) = self.services.get(key) else { return Vec::new() };
        plan(service, &self.slices_of(key), &self.here, |ip, port| self.fronts.has(key, ip, port))
    }

    fn health(&self, key: &ObjectKey) -> Option<Health> {
        let port = self.services.get(key)?.health_port?;
        Some(Health { port, endpoints: ready_on(&self.slices_of(key), &self.here.node) })
    }

    fn slices_of(&self, key: &ObjectKey) -> Vec<&Slice> {
        let names = self.by_service.get(key).into_iter().flatten();
        names.filter_map(|name| self.slices.get(name)).collect()
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
