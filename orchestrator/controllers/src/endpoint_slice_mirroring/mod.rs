//! Mirrors the Endpoints that people write for Services without a selector into EndpointSlices, where everybody looks.
//!
//! Flow: the Endpoints say by address which ports it has ([`desired`]); one slice for each set of ports and family of
//! addresses mirrors them ([`plan`]).
//!
//! Leaves to others: Services with a selector, whose slices are made from their Pods.

mod desired;
mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::Client;

use crate::context::{Caches, Context};
use crate::objects::meta::{Key, labels, reference};
use crate::objects::slices::{slices_of, wake_on_slices, write};
use crate::runtime::error::ReconcileError;
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};
use desired::{Desired, MANAGER, MAX_ADDRESSES};

/// Endpoints with this label are not mirrored.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints with this annotation are a lock, not endpoints.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Keys are those of Services and their Endpoints.
pub(crate) struct EndpointSliceMirroringController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
}

impl Controller for EndpointSliceMirroringController {
    const NAME: &'static str = "endpoint-slice-mirroring-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.services.on_change(move |change| {
            let before = change.old.is_some_and(|service| is_mirrored(service));
            if change.new.is_some_and(|service| is_mirrored(service)) != before
                && let Some(service) = change.last()
            {
                wake.add(Key::of(&**service));
            }
        });
        let wake = queue.clone();
        context.caches.endpoints.on_change(move |change| {
            if change.both().any(|endpoints| may_be_mirrored(endpoints))
                && let Some(endpoints) = change.last()
            {
                wake.add(Key::of(&**endpoints));
            }
        });
        wake_on_slices(&context.caches, queue, MANAGER);
        let (client, caches) = (context.client.clone(), context.caches.clone());
        Self { client, caches, recorder: context.recorder.clone() }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let service = self.caches.services.get(key).filter(|service| is_mirrored(service));
        let endpoints = self.caches.endpoints.get(key).filter(|endpoints| may_be_mirrored(endpoints));
        let found = slices_of(&self.caches.endpoint_slices, key, MANAGER);
        let mirrored = service.and(endpoints);
        let desired = mirrored.as_deref().map(Desired::of);
        for action in plan::plan(mirrored.as_deref().zip(desired.as_ref()), found) {
            write(&self.client, &self.caches.endpoint_slices, &key.namespace, action).await?;
        }
        if let Some((endpoints, desired)) = mirrored.as_deref().zip(desired) {
            self.tell(endpoints, &desired);
        }
        Ok(Next::OnChange)
    }
}

impl EndpointSliceMirroringController {
    /// Tells which addresses are not mirrored.
    fn tell(&self, endpoints: &Endpoints, desired: &Desired) {
        let warn = |reason, message| {
            let component = Self::NAME;
            let notice = Notice { component, severity: Severity::Warning, reason, message };
            self.recorder.event(reference(endpoints), notice);
        };
        if desired.invalid > 0 {
            let count = desired.invalid;
            let message = format!("Skipped {count} invalid IP addresses when mirroring to EndpointSlices");
            warn("InvalidIPAddress", message);
        }
        if desired.skipped > desired.invalid {
            let message = format!(
                "A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were \
                 skipped",
                desired.skipped
            );
            warn("TooManyAddressesToMirror", message);
        }
    }
}

fn is_mirrored(service: &Service) -> bool {
    service.spec.as_ref().is_none_or(|spec| spec.selector.is_none())
}

fn may_be_mirrored(endpoints: &Endpoints) -> bool {
    let annotations = endpoints.metadata.annotations.as_ref();
    labels(&endpoints.metadata).get(SKIP).is_none_or(|skip| skip != "true")
        && annotations.is_none_or(|annotations| !annotations.contains_key(LEADER))
}
