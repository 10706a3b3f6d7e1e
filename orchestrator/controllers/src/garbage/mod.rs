//! Garbage collection by owner references.
//!
//! Flow: metadata of all kinds feeds a [`graph::Graph`] of who owns whom; a change enqueues the uids it may
//! matter to; [`plan::plan`] decides about one object; the decision is written with the object's uid and
//! version as preconditions.
//!
//! Guarantees: an object goes only when every owner is certainly gone (its deletion was seen, or a live read
//! did not find that uid) or waits for its dependents; an owner deleted in the foreground goes after the
//! dependents that block it; an owner that orphans goes after its dependents have been let go.

mod graph;
mod plan;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use parking_lot::Mutex;
use serde_json::json;

use crate::context::Context;
use crate::objects::meta::uid;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::everything::Everything;
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use graph::{Graph, Item};
use plan::{Decision, FOREGROUND, ORPHAN, OwnerState};

/// Keys are uids.
pub(crate) struct GarbageCollector {
    client: Client,
    everything: Arc<Everything>,
    graph: Arc<Mutex<Graph>>,
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "garbage-collector-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let graph = Arc::new(Mutex::new(Graph::default()));
        let (wake, fed) = (queue.clone(), graph.clone());
        context.everything.on_change(&context.life, move |seen| {
            let concerned = if seen.is_gone {
                fed.lock().remove(uid(seen.meta))
            } else {
                fed.lock().observe(seen.api_version, seen.kind, seen.meta)
            };
            for uid in concerned {
                wake.add(uid);
            }
        });
        Self { client: context.client.clone(), everything: context.everything.clone(), graph }
    }

    async fn ready(&self) {
        self.everything.ready().await;
    }

    async fn reconcile(&self, uid: &String) -> Result<Next, ReconcileError> {
        let item = {
            let graph = self.graph.lock();
            match graph.item(uid) {
                Some(item) if !item.is_settled() && !graph.is_kept(&item) => item,
                _ => return Ok(Next::OnChange),
            }
        };
        // The cache only says that it is worth a look; what is done follows from the live object.
        let Some(live) = self.live(&item, uid).await? else { return Ok(Next::OnChange) };
        let owners = self.owner_states(&item, &live).await?;
        let dependents = self.graph.lock().dependents(uid);
        match plan::plan(uid, &live, &owners, &dependents) {
            Decision::Nothing => {}
            Decision::Delete(policy) => self.delete(&item, &live, policy).await?,
            Decision::KeepOwners(owners) => {
                self.patch(&item, &live, json!({ "ownerReferences": owners })).await?;
            }
            Decision::LetGo { dependents } => {
                for dependent in dependents {
                    self.let_go(&dependent, uid).await?;
                }
                self.drop_finalizer(&item, &live, ORPHAN).await?;
            }
            Decision::DropForeground => self.drop_finalizer(&item, &live, FOREGROUND).await?,
        }
        Ok(Next::OnChange)
    }
}

impl GarbageCollector {
    /// The object's metadata as it is now; nothing if it is gone.
    async fn live(&self, item: &Item, uid: &str) -> Result<Option<ObjectMeta>, ReconcileError> {
        let kind = self.kind(&item.api_version, &item.kind).await?;
        let api = kind.api(self.client.clone(), &item.key.namespace);
        let found = api.get_metadata_opt(&item.key.name).await.step("reading an object")?;
        Ok(found.map(|found| found.metadata).filter(|meta| meta.uid.as_deref() == Some(uid)))
    }

    async fn kind(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<crate::runtime::everything::Kind, ReconcileError> {
        if let Some(found) = self.everything.kind(api_version, kind) {
            return Ok(found);
        }
        self.everything.refresh().await.step("discovering kinds")?;
        self.everything
            .kind(api_version, kind)
            .ok_or(ReconcileError::NotReady { what: "the kind of an owner" })
    }

    async fn owner_states(
        &self,
        item: &Item,
        live: &ObjectMeta,
    ) -> Result<Vec<(OwnerReference, OwnerState)>, ReconcileError> {
        let mut states = Vec::new();
        for owner in live.owner_references.iter().flatten() {
            let state = self.owner_state(item, owner).await?;
            states.push((owner.clone(), state));
        }
        Ok(states)
    }

    async fn owner_state(&self, item: &Item, owner: &OwnerReference) -> Result<OwnerState, ReconcileError> {
        let known = self.graph.lock().owner_state(&owner.uid);
        if let Some(known) = known {
            return Ok(known);
        }
        let kind = self.kind(&owner.api_version, &owner.kind).await?;
        if kind.namespaced && item.key.namespace.is_empty() {
            // A reference that cannot be followed is no reason to delete anything.
            return Ok(OwnerState::Present);
        }
        let api = kind.api(self.client.clone(), &item.key.namespace);
        let found = api.get_metadata_opt(&owner.name).await.step("reading an owner")?;
        let found = found.filter(|found| found.metadata.uid.as_ref() == Some(&owner.uid));
        Ok(found.map_or(OwnerState::Absent, |found| OwnerState::of(&found.metadata)))
    }

    async fn delete(
        &self,
        item: &Item,
        live: &ObjectMeta,
        policy: PropagationPolicy,
    ) -> Result<(), ReconcileError> {
        let kind = self.kind(&item.api_version, &item.kind).await?;
        let api = kind.api(self.client.clone(), &item.key.namespace);
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        let deleted = delete(&api, live, Only::Unchanged, params).await;
        deleted.step("deleting an object without owners").map(drop)
    }

    /// Removes the owner of this uid from a dependent.
    async fn let_go(&self, dependent: &str, owner: &str) -> Result<(), ReconcileError> {
        let Some(item) = self.graph.lock().item(dependent) else { return Ok(()) };
        let Some(live) = self.live(&item, dependent).await? else { return Ok(()) };
        let mut owners = live.owner_references.clone().unwrap_or_default();
        let before = owners.len();
        owners.retain(|reference| reference.uid != owner);
        if owners.len() == before {
            return Ok(());
        }
        self.patch(&item, &live, json!({ "ownerReferences": owners })).await
    }

    async fn drop_finalizer(
        &self,
        item: &Item,
        live: &ObjectMeta,
        finalizer: &str,
    ) -> Result<(), ReconcileError> {
        let mut finalizers = live.finalizers.clone().unwrap_or_default();
        finalizers.retain(|held| held != finalizer);
        self.patch(item, live, json!({ "finalizers": finalizers })).await
    }

    /// Merges `metadata` into the object if it is still as it was read.
    async fn patch(
        &self,
        item: &Item,
        live: &ObjectMeta,
        mut metadata: serde_json::Value,
    ) -> Result<(), ReconcileError> {
        let kind = self.kind(&item.api_version, &item.kind).await?;
        metadata["uid"] = json!(live.uid);
        metadata["resourceVersion"] = json!(live.resource_version);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let api = kind.api(self.client.clone(), &item.key.namespace);
        match api.patch_metadata(&item.key.name, &PatchParams::default(), &patch).await {
            Err(error) if !is_not_found(&error) => Err(error).step("writing owners or finalizers"),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
