//! What is known of the objects that Ingresses are about.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use rustls::crypto::CryptoProvider;

use super::gateway::{GatewayApi, Kind};
use super::model::{Ingress, Secret, Service, Slice, is_ours};
use super::status::Published;
use crate::services::{ObjectKey, Replica};

/// The state of the watches.
#[derive(Default)]
pub(super) struct World {
    pub(super) ingresses: Replica<Ingress>,
    pub(super) published: Replica<Published>,
    /// The classes that are ours.
    pub(super) classes: Replica<()>,
    pub(super) services: Replica<Service>,
    pub(super) slices: Replica<Slice>,
    pub(super) secrets: Replica<Secret>,
    /// What Gateways say; nothing if nobody follows them.
    pub(super) gateways: GatewayApi,
    /// The slices of each Service.
    by_service: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    is_changed: bool,
}

impl World {
    pub(super) fn record_ingress(&mut self, event: &Event<networking::Ingress>) {
        self.is_changed |= !self.ingresses.record(event, Ingress::parse).is_empty();
        self.published.record(event, Published::parse);
    }

    pub(super) fn record_class(&mut self, event: &Event<networking::IngressClass>) {
        self.is_changed |= !self.classes.record(event, is_ours).is_empty();
    }

    pub(super) fn record_service(&mut self, event: &Event<core::Service>) {
        self.is_changed |= !self.services.record(event, Service::parse).is_empty();
    }

    pub(super) fn record_slice(&mut self, event: &Event<discovery::EndpointSlice>) {
        for (key, before) in self.slices.record(event, Slice::parse) {
            self.is_changed = true;
            if let Some(slices) = before.and_then(|slice| self.by_service.get_mut(&slice.service)) {
                slices.remove(&key);
            }
            if let Some(slice) = self.slices.get(&key) {
                self.by_service.entry(slice.service.clone()).or_default().insert(key);
            }
        }
        self.by_service.retain(|_, slices| !slices.is_empty());
    }

    pub(super) fn record_secret(&mut self, event: &Event<core::Secret>, provider: &CryptoProvider) {
        self.is_changed |= !self.secrets.record(event, |object| Secret::parse(object, provider)).is_empty();
    }

    pub(super) fn record_gateway(&mut self, kind: Kind, event: &Event<DynamicObject>) {
        self.is_changed |= self.gateways.record(kind, event);
    }

    pub(super) fn record_namespace(&mut self, event: &Event<core::Namespace>) {
        self.is_changed |= self.gateways.record_namespace(event);
    }

    /// There are no objects of this kind any more.
    pub(super) fn forget(&mut self, kind: Kind) {
        self.gateways.forget(kind);
        self.is_changed = true;
    }

    /// The slices of a Service.
    pub(super) fn slices_of(&self, service: &ObjectKey) -> impl Iterator<Item = &Slice> {
        let keys = self.by_service.get(service).into_iter().flatten();
        keys.filter_map(|key| self.slices.get(key))
    }

    /// The Ingresses that are ours, the oldest first.
    pub(super) fn ours(&self) -> Vec<(&ObjectKey, &Ingress)> {
        let mut ours: Vec<_> = self.ingresses.iter().filter(|(_, ingress)| self.is_ours(ingress)).collect();
        ours.sort_by_key(|(key, ingress)| (ingress.created, *key));
        ours
    }

    pub(super) fn is_ours(&self, ingress: &Ingress) -> bool {
        let class = |name: &String| ObjectKey { namespace: String::new(), name: name.clone() };
        ingress.class.as_ref().is_some_and(|name| self.classes.get(&class(name)).is_some())
    }

    /// Whether every list of what Ingresses are about has been seen to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.ingresses.is_complete()
            && self.classes.is_complete()
            && self.services.is_complete()
            && self.slices.is_complete()
            && self.secrets.is_complete()
    }

    /// Whether something changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }
}
