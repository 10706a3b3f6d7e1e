//! Endpoints: the older form of EndpointSlices, one object a Service, for those who still read it.

mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Endpoints;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};

use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::objects::services::{has_selector, pods_of, wake_on_services_and_pods};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_namespace_terminating};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use plan::Action;

/// Keys are those of Services.
pub(crate) struct EndpointsController {
    client: Client,
    caches: Arc<Caches>,
}

impl Controller for EndpointsController {
    const NAME: &'static str = "endpoint-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        wake_on_services_and_pods(&context.caches, queue);
        let wake = queue.clone();
        context.caches.endpoints.on_change(move |change| {
            if let Some(endpoints) = change.last() {
                wake.add(Key::of(&**endpoints));
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let service = self.caches.services.get(key);
        let found = self.caches.endpoints.get(key);
        if service.as_ref().is_some_and(|service| !has_selector(service)) {
            return Ok(Next::OnChange);
        }
        let pods = service.as_ref().map(|service| pods_of(service, &self.caches.pods));
        let world = service.as_deref().zip(pods.as_deref());
        match plan::plan(world, found.as_deref()) {
            Some(action) => self.apply(key, action).await,
            None => Ok(Next::OnChange),
        }
    }
}

impl EndpointsController {
    async fn apply(&self, key: &Key, action: Action) -> Result<Next, ReconcileError> {
        let api = Api::<Endpoints>::namespaced(self.client.clone(), &key.namespace);
        match action {
            Action::Create(endpoints) => match api.create(&PostParams::default(), &endpoints).await {
                Ok(created) => self.caches.endpoints.note(created),
                Err(error) if is_namespace_terminating(&error) => {}
                Err(error) => return Err(error).step("creating the Endpoints"),
            },
            Action::Update(endpoints) => {
                let written = api.replace(&endpoints.name_any(), &PostParams::default(), &endpoints).await;
                self.caches.endpoints.note(written.step("writing the Endpoints")?);
            }
            Action::Delete(orphan) => {
                let deleted = delete(&api, &orphan, Only::This, DeleteParams::default()).await;
                deleted.step("deleting the Endpoints")?;
            }
        }
        Ok(Next::OnChange)
    }
}
