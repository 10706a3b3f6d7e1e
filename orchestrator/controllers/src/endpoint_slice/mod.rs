//! EndpointSlices: the Pods behind each Service that has a selector.
//!
//! Flow: from the Service and the Pods it selects follow the wanted endpoints, grouped by ports; [`plan::plan`]
//! fits them into the slices there are with as few writes as possible; they are written one after the other.
//!
//! Guarantees: an endpoint that stays in a slice is not moved to another; a slice never holds more than 100.
//!
//! Leaves to others: slices of deleted Services (the garbage collector), and slices managed by somebody else.

mod desired;
mod plan;

use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};

use crate::context::{Caches, Context};
use crate::objects::meta::{Key, labels};
use crate::objects::services::{has_selector, selects, wake_on_services_and_pods};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_namespace_terminating};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use desired::{MANAGED_BY, MANAGER, SERVICE_NAME};
use plan::Action;

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
        let wake = queue.clone();
        context.caches.endpoint_slices.on_change(move |change| {
            for slice in change.both().filter(|slice| is_ours(slice)) {
                if let Some(service) = labels(&slice.metadata).get(SERVICE_NAME) {
                    wake.add(Key::new(slice.namespace().unwrap_or_default(), service));
                }
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(service) = self.caches.services.get(key) else { return Ok(Next::OnChange) };
        if !has_selector(&service) || service.metadata.deletion_timestamp.is_some() {
            return Ok(Next::OnChange);
        }
        let pods = self.caches.pods.select(&key.namespace, |pod| selects(&service, pod));
        let actions = plan::plan(&service, desired::groups(&service, &pods), self.slices_of(key));
        for action in actions {
            self.apply(key, action).await?;
        }
        Ok(Next::OnChange)
    }
}

impl EndpointSliceController {
    fn slices_of(&self, key: &Key) -> Vec<Arc<EndpointSlice>> {
        let mut slices = self.caches.endpoint_slices.select(&key.namespace, |slice| {
            is_ours(slice)
                && slice.metadata.deletion_timestamp.is_none()
                && labels(&slice.metadata).get(SERVICE_NAME) == Some(&key.name)
        });
        slices.sort_by_cached_key(|slice| slice.metadata.name.clone());
        slices
    }

    async fn apply(&self, key: &Key, action: Action) -> Result<(), ReconcileError> {
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), &key.namespace);
        match action {
            Action::Create(slice) => match api.create(&PostParams::default(), &slice).await {
                Ok(created) => self.caches.endpoint_slices.note(created),
                Err(error) if is_namespace_terminating(&error) => {}
                Err(error) => return Err(error).step("creating an EndpointSlice"),
            },
            Action::Update(slice) => {
                let written = api.replace(&slice.name_any(), &PostParams::default(), &slice).await;
                self.caches.endpoint_slices.note(written.step("writing an EndpointSlice")?);
            }
            Action::Delete(slice) => {
                let deleted = delete(&api, &slice.metadata, Only::This, DeleteParams::default()).await;
                deleted.step("deleting an EndpointSlice")?;
            }
        }
        Ok(())
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    labels(&slice.metadata).get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}
