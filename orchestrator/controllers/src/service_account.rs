//! The ServiceAccount `default` of each namespace.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};

use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::runtime::cache::Cache;
use crate::runtime::error::{ReconcileError, is_already_exists, is_namespace_terminating};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// The account every namespace has.
const DEFAULT: &str = "default";

/// Keys are names of namespaces.
pub(crate) struct ServiceAccountController {
    client: Client,
    caches: Arc<Caches>,
}

impl Controller for ServiceAccountController {
    const NAME: &'static str = "serviceaccount-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        wake_on_namespaces(&context.caches.namespaces, queue);
        let wake = queue.clone();
        context.caches.service_accounts.on_change(move |change| {
            if let (Some(gone), None) = (change.old, change.new) {
                wake.add(gone.namespace().unwrap_or_default());
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, namespace: &String) -> Result<Next, ReconcileError> {
        let exists = self.caches.service_accounts.get(&Key::new(namespace, DEFAULT)).is_some();
        if exists || !is_active(self.caches.namespaces.get_global(namespace).as_deref()) {
            return Ok(Next::OnChange);
        }
        let metadata = ObjectMeta { name: Some(DEFAULT.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), &account).await {
            Ok(created) => self.caches.service_accounts.note(created),
            Err(error) if is_already_exists(&error) || is_namespace_terminating(&error) => {}
            Err(source) => return Err(ReconcileError::Api { step: "creating the default account", source }),
        }
        Ok(Next::OnChange)
    }
}

/// Enqueues the name of every namespace that appears or changes.
pub(crate) fn wake_on_namespaces(namespaces: &Cache<Namespace>, queue: &Arc<Queue<String>>) {
    let wake = queue.clone();
    namespaces.on_change(move |change| {
        if let Some(namespace) = change.new {
            wake.add(namespace.name_any());
        }
    });
}

/// Whether content may still be put into the namespace.
pub(crate) fn is_active(namespace: Option<&Namespace>) -> bool {
    namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none())
}
