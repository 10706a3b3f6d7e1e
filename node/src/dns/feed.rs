//! From watch events to the zone.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::runtime::watcher::Event;
use wherry_dns::{Service, Slice};

use super::cluster::ClusterDns;
use super::objects;
use crate::services::Replica;

/// Tells the zone what the watches say. Whoever asks later finds it.
pub(crate) struct Feed {
    dns: Arc<ClusterDns>,
    services: Replica<Arc<Service>>,
    slices: Replica<Arc<Slice>>,
}

impl Feed {
    /// A feed of these names.
    pub(crate) fn new(dns: Arc<ClusterDns>) -> Self {
        Self { dns, services: Replica::default(), slices: Replica::default() }
    }

    /// Takes note of an event of the watch on Services.
    pub(crate) fn record_service(&mut self, event: &Event<core::Service>) {
        let changes = self.services.record(event, |object| objects::service(object).map(Arc::new));
        self.dns.change(|zone| {
            for (key, _) in changes {
                zone.set_service(&(&key).into(), self.services.get(&key).cloned());
            }
        });
        self.tell_complete();
    }

    /// Takes note of an event of the watch on EndpointSlices.
    pub(crate) fn record_slice(&mut self, event: &Event<discovery::EndpointSlice>) {
        let changes = self.slices.record(event, |object| objects::slice(object).map(Arc::new));
        self.dns.change(|zone| {
            for (key, _) in changes {
                zone.set_slice(&(&key).into(), self.slices.get(&key).cloned());
            }
        });
        self.tell_complete();
    }

    fn tell_complete(&self) {
        if self.services.is_complete() && self.slices.is_complete() {
            self.dns.set_complete();
        }
    }
}
