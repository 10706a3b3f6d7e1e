//! Takes devices from claims that nobody uses, lets such claims go, and deletes those that were made for Pods that are done.
//!
//! Guarantees: a reservation is dropped only if its Pod is certainly done or gone; one that is not in the cache is asked
//! for. A claim that never was used keeps its devices.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::{asked, is_allocated, is_done, names, users};
use crate::context::{Caches, Context};
use crate::objects::meta::{Key, controller_key, controller_of, uid};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// Keeps a claim until its devices are given back.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// Keys are those of claims.
pub(crate) struct ResourceClaimCleaner {
    client: Client,
    caches: Arc<Caches>,
}

/// How a claim ought to be: what its status and its finalizers become.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// The status with fewer users, and without devices if there are none left.
    pub(super) status: Option<Box<ResourceClaim>>,
    /// Whether nothing keeps it any more.
    pub(super) releases: bool,
}

/// Plans for a claim, given who of its users still is one.
pub(super) fn plan(claim: &ResourceClaim, valid: &[ResourceClaimConsumerReference]) -> Plan {
    let is_held = claim.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let is_going = claim.metadata.deletion_timestamp.is_some();
    let (fewer, unused) = (valid.len() < users(claim).len(), valid.is_empty());
    // Devices are given back when the last user ends, or when nobody can come any more.
    let ends = unused && is_held && (fewer || is_going);
    let mut next = claim.clone();
    if let Some(status) = &mut next.status {
        status.reserved_for = Some(valid.to_vec()).filter(|valid| !valid.is_empty());
        if ends {
            status.allocation = None;
        }
    }
    let releases = ends && !is_allocated(&next);
    let changes = fewer || (ends && is_allocated(claim));
    Plan { status: changes.then(|| Box::new(next)), releases }
}

impl Controller for ResourceClaimCleaner {
    const NAME: &'static str = "resourceclaim-cleaner";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.resource_claims.on_change(move |change| {
            if let Some(claim) = change.new {
                wake.add(Key::of(&**claim));
            }
        });
        let wake = queue.clone();
        context.caches.pods.on_change(move |change| {
            let ended = match (change.old, change.new) {
                (Some(gone), None) => gone,
                (_, Some(pod)) if is_done(pod) => pod,
                _ => return,
            };
            if asked(ended).is_empty() {
                return;
            }
            for name in names(ended) {
                wake.add(Key::new(ended.namespace().unwrap_or_default(), name));
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(claim) = self.caches.resource_claims.get(key) else { return Ok(Next::OnChange) };
        let mut valid = Vec::new();
        for user in users(&claim) {
            if self.is_user(&key.namespace, user).await? {
                valid.push(user.clone());
            }
        }
        self.apply(&claim, plan(&claim, &valid)).await?;
        if valid.is_empty() && claim.metadata.deletion_timestamp.is_none() && self.owner_is_done(&claim) {
            let api = self.api(&claim);
            let deleted = delete(&api, &claim.metadata, Only::This, DeleteParams::default()).await;
            deleted.step("deleting the claim of a Pod that is done")?;
        }
        Ok(Next::OnChange)
    }
}

impl ResourceClaimCleaner {
    fn api(&self, claim: &ResourceClaim) -> Api<ResourceClaim> {
        Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default())
    }

    /// Whether somebody for whom a claim is reserved may still use it.
    async fn is_user(
        &self,
        namespace: &str,
        user: &ResourceClaimConsumerReference,
    ) -> Result<bool, ReconcileError> {
        if user.resource != "pods" || user.api_group.as_deref().is_some_and(|group| !group.is_empty()) {
            // Whoever reserved it so has to give it back.
            return Ok(true);
        }
        if let Some(pod) = self.caches.pods.get(&Key::new(namespace, &user.name)) {
            return Ok(uid(&pod.metadata) == user.uid && !is_done(&pod));
        }
        // It may be too new to have been seen.
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let live = api.get_opt(&user.name).await.step("looking for a user of a claim of devices")?;
        Ok(live.is_some_and(|pod| uid(&pod.metadata) == user.uid))
    }

    async fn apply(&self, claim: &ResourceClaim, plan: Plan) -> Result<(), ReconcileError> {
        let (api, params, name) = (self.api(claim), PostParams::default(), claim.name_any());
        let mut now = claim.clone();
        if let Some(status) = plan.status {
            let written = api.replace_status(&name, &params, &status).await;
            now = written.step("taking a claim of devices back")?;
            self.caches.resource_claims.note(now.clone());
        }
        if plan.releases {
            now.finalizers_mut().retain(|finalizer| finalizer != FINALIZER);
            let written = api.replace(&name, &params, &now).await;
            let written = written.step("letting a claim of devices go")?;
            if written.metadata.deletion_timestamp.is_none() {
                self.caches.resource_claims.note(written);
            }
        }
        Ok(())
    }

    /// Whether the Pod that a claim was made for needs it no more.
    fn owner_is_done(&self, claim: &ResourceClaim) -> bool {
        let (Some(key), Some(owner)) =
            (controller_key::<Pod>(&claim.metadata), controller_of(&claim.metadata))
        else {
            return false;
        };
        // One that is not known is the garbage collector's to look for.
        let pod = self.caches.pods.get(&key);
        pod.is_some_and(|pod| uid(&pod.metadata) != owner.uid || is_done(&pod))
    }
}
