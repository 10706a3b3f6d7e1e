//! Namespace lifecycle: empties a Namespace that is being deleted, then lets it go.
//!
//! Flow: list what is left of every kind that lives in namespaces; delete it, Pods first, since other objects
//! may be needed while they end; note in the conditions what remains; when nothing does, take the finalizer
//! `kubernetes` from the Namespace, which ends it.
//!
//! Each object that goes wakes its Namespace, so nothing is polled but what the watches do not show.

mod conditions;
mod content;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use crate::context::{Caches, Context};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::everything::Everything;
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use content::Remaining;

/// The finalizer that is ours to take.
const FINALIZER: &str = "kubernetes";
/// How long until what remains is looked at again if no watch tells of it.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Keys are names of Namespaces.
pub(crate) struct NamespaceController {
    client: Client,
    caches: Arc<Caches>,
    everything: Arc<Everything>,
    clock: Arc<dyn wherry_api::clock::Clock>,
}

impl Controller for NamespaceController {
    const NAME: &'static str = "namespace-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let wake = queue.clone();
        context.caches.namespaces.on_change(move |change| {
            if let Some(namespace) = change.new.filter(|namespace| is_terminating(namespace)) {
                wake.add(namespace.name_any());
            }
        });
        let (wake, caches) = (queue.clone(), context.caches.clone());
        context.everything.on_change(&context.life, move |seen| {
            if seen.kind == "APIService" {
                // What kept a Namespace may be known now, or be of no more interest.
                let waiting = caches.namespaces.all();
                for namespace in waiting.iter().filter(|namespace| is_terminating(namespace)) {
                    wake.add(namespace.name_any());
                }
                return;
            }
            let Some(namespace) = seen.meta.namespace.as_deref().filter(|_| seen.is_gone) else { return };
            if caches.namespaces.get_global(namespace).is_some_and(|namespace| is_terminating(&namespace)) {
                wake.add(namespace.to_owned());
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            everything: context.everything.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn ready(&self) {
        self.everything.ready().await;
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let found = self.caches.namespaces.get_global(name);
        let Some(namespace) = found.filter(|namespace| is_terminating(namespace) && has_finalizer(namespace))
        else {
            return Ok(Next::OnChange);
        };
        self.everything.refresh().await.step("discovering kinds")?;
        let remaining = Remaining { stale: self.everything.stale(), ..self.empty(name).await };
        if remaining.is_none() {
            self.finalize(&namespace).await?;
            return Ok(Next::OnChange);
        }
        self.write_status(&namespace, &remaining).await?;
        Ok(Next::After(LOOK_AGAIN))
    }
}

impl NamespaceController {
    /// Deletes what is left; returns what is left then.
    async fn empty(&self, namespace: &str) -> Remaining {
        let kinds = self.everything.namespaced();
        let (pods, others): (Vec<_>, Vec<_>) = kinds
            .into_iter()
            .partition(|kind| kind.resource.group.is_empty() && kind.resource.plural == "pods");
        let remaining = content::empty(&self.client, namespace, &pods).await;
        if !remaining.is_none() {
            return remaining;
        }
        content::empty(&self.client, namespace, &others).await
    }

    async fn finalize(&self, namespace: &Namespace) -> Result<(), ReconcileError> {
        let mut finalized = namespace.clone();
        if let Some(finalizers) = finalized.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let api = Api::<Namespace>::all(self.client.clone());
        let name = namespace.name_any();
        let written = api.replace_subresource("finalize", &name, &PostParams::default(), &finalized).await;
        match written {
            Err(error) if !is_not_found(&error) => Err(error).step("finalizing the Namespace"),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn write_status(&self, namespace: &Namespace, remaining: &Remaining) -> Result<(), ReconcileError> {
        let before = namespace.status.clone().unwrap_or_default();
        let conditions = conditions::conditions(before.conditions.as_deref(), remaining, self.clock.now());
        let status = NamespaceStatus { phase: Some("Terminating".to_owned()), conditions: Some(conditions) };
        if before == status {
            return Ok(());
        }
        let changed = Namespace { status: Some(status), ..namespace.clone() };
        let api = Api::<Namespace>::all(self.client.clone());
        let written = api.replace_status(&namespace.name_any(), &PostParams::default(), &changed).await;
        self.caches.namespaces.note(written.step("writing the Namespace's status")?);
        Ok(())
    }
}

fn is_terminating(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

fn has_finalizer(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten());
    finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
}
