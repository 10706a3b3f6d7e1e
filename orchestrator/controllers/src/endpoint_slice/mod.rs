//! EndpointSlices: the Pods behind each Service that has a selector.
//!
//! Flow: from the Service, the Pods it selects and the zones of their nodes follow the wanted endpoints, grouped by ports; [`plan::plan`]
//! fits them into the slices there are with as few writes as possible; they are written one after the other.
//!
//! Guarantees: an endpoint that stays in a slice is not moved to another; a slice never holds more than 100.
//!
//! Leaves to others: slices of deleted Services (the garbage collector), and slices managed by somebody else.

mod desired;
mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::Client;

use crate::context::{Caches, Context};
use crate::objects::meta::{Key, labels};
use crate::objects::services::{has_selector, pods_of, wake_on_services_and_pods};
use crate::objects::slices::{slices_of, wake_on_slices, write};
use crate::runtime::error::ReconcileError;
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use desired::MANAGER;

const ZONE: &str = "topology.kubernetes.io/zone";

/// See the module's documentation.
pub(crate) struct EndpointSliceController {
    client: Client,
    caches: Arc<Caches>,
}

impl Controller for EndpointSliceController {
    const NAME: &'static str = "endpointslice-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        wake_on_services_and_pods(&context.caches, queue);
        wake_on_slices(&context.caches, queue, MANAGER);
        let (wake, services) = (queue.clone(), context.caches.services.clone());
        context.caches.nodes.on_change(move |change| {
            if change.old.and_then(zone) != change.new.and_then(zone) {
                services.all().iter().for_each(|service| wake.add(Key::of(&**service)));
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(service) = self.caches.services.get(key) else { return Ok(Next::OnChange) };
        if !has_selector(&service) || service.metadata.deletion_timestamp.is_some() {
            return Ok(Next::OnChange);
        }
        let pods = pods_of(&service, &self.caches.pods);
        let found = slices_of(&self.caches.endpoint_slices, key, MANAGER);
        let zone_of = |node: &str| zone(&self.caches.nodes.get_global(node)?);
        for action in plan::plan(&service, desired::groups(&service, &pods, &zone_of), found) {
            write(&self.client, &self.caches.endpoint_slices, &key.namespace, action).await?;
        }
        Ok(Next::OnChange)
    }
}

/// The zone that a node says it is in.
fn zone(node: &Arc<Node>) -> Option<String> {
    labels(&node.metadata).get(ZONE).cloned()
}
