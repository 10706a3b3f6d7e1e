//! Counts again what the quotas of a namespace allow and what is used of it.
//!
//! Flow: a quota that is new or wants something else, and whatever frees what was charged (deletions, Pods that end,
//! objects that shrink) wakes the quotas of its namespace. The quota is read first and what it counts after it;
//! [`plan::plan`] says its status, which is written on the condition that the quota is still what was read.
//!
//! Guarantees: admission charges a quota in the transaction that writes the object, so an object made after the quota
//! was read changes the quota, and the outdated count is refused. A count never forgets what was charged.

mod plan;
#[cfg(test)]
mod plan_tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use wherry_api::clock::Clock;
use wherry_api::quota::{Quota, Resource};

use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::objects::pods::is_terminal;
use crate::runtime::cache::{Cache, Change};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::everything::{Everything, Kind};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use plan::{Found, Objects};

/// Kinds whose objects take more or less by what is in them, and may change it.
const VARYING: &[(&str, &str)] =
    &[("", "pods"), ("", "services"), ("", "persistentvolumeclaims"), ("resource.k8s.io", "resourceclaims")];
/// The same without Pods, of which most changes matter to no quota.
const SHRINKING: &[&str] = &["Service", "PersistentVolumeClaim", "ResourceClaim"];

/// Keys are those of quotas.
pub(crate) struct ResourceQuotaController {
    client: Client,
    clock: Arc<dyn Clock>,
    everything: Arc<Everything>,
}

impl Controller for ResourceQuotaController {
    const NAME: &'static str = "resourcequota-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        wake_on_quotas(&context.caches, queue);
        let (wake, quotas) = (queue.clone(), context.caches.resource_quotas.clone());
        context.everything.on_change(&context.life, move |seen| {
            if seen.is_gone || SHRINKING.contains(&seen.kind) {
                wake_namespace(&quotas, seen.meta.namespace.as_deref(), &wake);
            }
        });
        let (wake, quotas) = (queue.clone(), context.caches.resource_quotas.clone());
        context.caches.pods.on_change(move |change| {
            if frees(change) {
                wake_namespace(&quotas, change.last().and_then(|pod| pod.namespace()).as_deref(), &wake);
            }
        });
        Self {
            client: context.client.clone(),
            clock: context.config.clock.clone(),
            everything: context.everything.clone(),
        }
    }

    async fn ready(&self) {
        self.everything.ready().await;
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let api = Api::<ResourceQuota>::namespaced(self.client.clone(), &key.namespace);
        let Some(mut object) = api.get_opt(&key.name).await.step("reading a quota")? else {
            return Ok(Next::OnChange);
        };
        let read = serde_json::to_value(&object).map_err(kube::Error::SerdeError).step("reading a quota")?;
        let quota = Quota::of(&read);
        let mut found = Vec::new();
        for kind in self.everything.namespaced() {
            if kind.can("list") && quota.wanted.keys().any(|name| resource(&kind).tracks(name)) {
                found.push(self.find(&kind, &key.namespace).await?);
            }
        }
        if let Some(status) = plan::plan(&quota, &found, self.clock.now()) {
            object.status = Some(status);
            match api.replace_status(&key.name, &PostParams::default(), &object).await {
                Err(error) if !is_not_found(&error) => {
                    return Err(ReconcileError::Api {
                        step: "writing what is used of a quota",
                        source: error,
                    });
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(Next::OnChange)
    }
}

impl ResourceQuotaController {
    /// The objects of a kind in the namespace; only how many where that is all that counts.
    async fn find(&self, kind: &Kind, namespace: &str) -> Result<Found, ReconcileError> {
        let api = kind.api(self.client.clone(), namespace);
        let (group, plural) = (kind.resource.group.clone(), kind.resource.plural.clone());
        if !VARYING.contains(&(group.as_str(), plural.as_str())) {
            let list = api.list_metadata(&ListParams::default().limit(1)).await.step("counting objects")?;
            let shown = i64::try_from(list.items.len()).unwrap_or(i64::MAX);
            let count = shown.saturating_add(list.metadata.remaining_item_count.unwrap_or(0));
            return Ok(Found { group, plural, objects: Objects::Counted(count) });
        }
        let list = api.list(&ListParams::default()).await.step("listing what a quota counts")?;
        let objects: Result<Vec<Value>, _> = list.items.iter().map(serde_json::to_value).collect();
        let objects = objects.map_err(kube::Error::SerdeError).step("listing what a quota counts")?;
        Ok(Found { group, plural, objects: Objects::Listed(objects) })
    }
}

fn resource(kind: &Kind) -> Resource<'_> {
    Resource { group: &kind.resource.group, plural: &kind.resource.plural }
}

/// A quota is looked at when it wants something else, and once more after its status began to limit something: what
/// was written meanwhile was not charged.
fn wake_on_quotas(caches: &Caches, queue: &Arc<Queue<Key>>) {
    let wake = queue.clone();
    caches.resource_quotas.on_change(move |change| {
        let Some(quota) = change.new else { return };
        let same = change.old.is_some_and(|old| old.spec == quota.spec && hard(old) == hard(quota));
        if !same {
            wake.add(Key::of(&**quota));
        }
    });
}

fn hard(
    quota: &ResourceQuota,
) -> Option<&std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>> {
    quota.status.as_ref().and_then(|status| status.hard.as_ref())
}

fn wake_namespace(quotas: &Cache<ResourceQuota>, namespace: Option<&str>, queue: &Queue<Key>) {
    for quota in namespace.map(|namespace| quotas.namespace(namespace)).into_iter().flatten() {
        queue.add(Key::of(&*quota));
    }
}

/// Whether a Pod may take less than it did, and is still there.
fn frees(change: &Change<'_, Pod>) -> bool {
    let (Some(old), Some(new)) = (change.old, change.new) else { return false };
    let resources = |pod: &Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        statuses.map(|status| status.allocated_resources.clone()).collect::<Vec<_>>()
    };
    is_terminal(old) != is_terminal(new)
        || old.metadata.generation != new.metadata.generation
        || resources(old) != resources(new)
}
