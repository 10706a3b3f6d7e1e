//! Which objects belong to an owner: by its controller reference, and by its selector.
//!
//! An object that matches the selector and has no managing owner is adopted; one that no longer matches is
//! released. Adoption asks the API first whether the owner is still the one the cache shows.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Patch, PatchParams};
use kube::core::{NamespaceResourceScope, Selector, SelectorExt};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::meta::{Key, controller_key, controller_of, controller_reference, labels, selector, uid};
use crate::runtime::cache::{Cache, Change};
use crate::runtime::error::{ReconcileError, Step, is_invalid, is_not_found};
use crate::runtime::queue::Queue;

/// The finalizer that keeps a Pod until its Job has counted it.
pub(crate) const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// A kind that chooses what it manages by labels.
pub(crate) trait Selects:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Sync
{
    /// The finalizer by which it keeps what it manages, if it does.
    const FINALIZER: Option<&'static str> = None;

    /// The labels it looks for.
    fn selector(&self) -> LabelSelector;
}

/// An object that can have a managing owner.
pub(crate) trait Owned:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
{
}

impl<K> Owned for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
{
}

macro_rules! selects {
    ($($kind:ty),*) => {
        $(impl Selects for $kind {
            fn selector(&self) -> LabelSelector {
                self.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default()
            }
        })*
    };
}

selects!(
    k8s_openapi::api::apps::v1::Deployment,
    k8s_openapi::api::apps::v1::ReplicaSet,
    k8s_openapi::api::apps::v1::StatefulSet,
    k8s_openapi::api::apps::v1::DaemonSet
);

impl Selects for k8s_openapi::api::core::v1::ReplicationController {
    fn selector(&self) -> LabelSelector {
        let labels = self.spec.as_ref().and_then(|spec| spec.selector.clone());
        LabelSelector { match_labels: labels, match_expressions: None }
    }
}

impl Selects for k8s_openapi::api::batch::v1::Job {
    const FINALIZER: Option<&'static str> = Some(JOB_TRACKING);

    fn selector(&self) -> LabelSelector {
        self.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default()
    }
}

/// What is to be done about the objects an owner might manage.
struct Claims<K> {
    owned: Vec<Arc<K>>,
    adopt: Vec<Arc<K>>,
    release: Vec<Arc<K>>,
}

/// The objects of the cache that belong to the owner, after adoption and release. Only what `fits` can belong to it.
pub(crate) async fn claim<O: Selects, K: Owned>(
    client: &Client,
    owner: &O,
    cache: &Cache<K>,
    fits: impl Fn(&K) -> bool,
) -> Result<Vec<Arc<K>>, ReconcileError> {
    let namespace = owner.meta().namespace.as_deref().unwrap_or_default();
    let selector = selector(&owner.selector())?;
    let takes = |object: &K| selector.matches(labels(object.meta())) && fits(object);
    let candidates = cache.claimable(namespace, uid(owner.meta()), takes);
    let claims = decide(owner, &selector, candidates, fits);
    let owners = Api::<O>::namespaced(client.clone(), namespace);
    let objects = Api::<K>::namespaced(client.clone(), namespace);
    settle(&owners, owner, &objects, claims).await
}

/// Wakes the owners of an object, before and now; or, if nobody manages it, all that might adopt it.
pub(crate) fn wake_owners<O: Selects, K: ResourceExt>(
    change: &Change<'_, K>,
    owners: &Cache<O>,
    queue: &Queue<Key>,
) {
    for key in change.both().filter_map(|object| controller_key::<O>(object.meta())) {
        queue.add(key);
    }
    let Some(orphan) = change.new.filter(|object| controller_of(object.meta()).is_none()) else { return };
    for owner in owners.namespace(orphan.meta().namespace.as_deref().unwrap_or_default()) {
        let wanted = selector(&owner.selector());
        if wanted.is_ok_and(|wanted| wanted.matches(labels(orphan.meta()))) {
            queue.add(Key::of(&*owner));
        }
    }
}

/// Decides which of `objects` belong to `owner`.
fn decide<O: ResourceExt, K: ResourceExt>(
    owner: &O,
    selector: &Selector,
    objects: Vec<Arc<K>>,
    fits: impl Fn(&K) -> bool,
) -> Claims<K> {
    let mut claims = Claims { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let owner_is_going = owner.meta().deletion_timestamp.is_some();
    for object in objects {
        let matches = selector.matches(labels(object.meta())) && fits(&object);
        let is_going = object.meta().deletion_timestamp.is_some();
        match controller_of(object.meta()) {
            Some(reference) if reference.uid != uid(owner.meta()) => {}
            Some(_) if matches => claims.owned.push(object),
            Some(_) if !owner_is_going => claims.release.push(object),
            None if matches && !owner_is_going && !is_going => claims.adopt.push(object),
            Some(_) | None => {}
        }
    }
    claims
}

/// Writes adoptions and releases; returns all that is owned.
async fn settle<O: Selects, K: Owned>(
    owners: &Api<O>,
    owner: &O,
    objects: &Api<K>,
    claims: Claims<K>,
) -> Result<Vec<Arc<K>>, ReconcileError> {
    let mut owned = claims.owned;
    if !claims.adopt.is_empty() {
        let name = owner.meta().name.as_deref().unwrap_or_default();
        let live = owners.get_metadata(name).await.step("reading the owner before adoption")?;
        if live.metadata.uid != owner.meta().uid || live.metadata.deletion_timestamp.is_some() {
            return Err(ReconcileError::NotReady { what: "the owner as the cache shows it" });
        }
    }
    for object in claims.adopt {
        let mut patch = json!({ "metadata": {
            "uid": object.meta().uid, "ownerReferences": [controller_reference(owner)],
        } });
        if let Some(finalizer) = O::FINALIZER {
            patch["metadata"]["finalizers"] = json!([finalizer]);
        }
        owned.extend(patch_owner(objects, &*object, patch).await?.map(Arc::new));
    }
    for object in claims.release {
        let mut patch = json!({ "metadata": {
            "uid": object.meta().uid, "ownerReferences": [{ "$patch": "delete", "uid": uid(owner.meta()) }],
        } });
        if let Some(finalizer) = O::FINALIZER {
            patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
        }
        match patch_owner(objects, &*object, patch).await {
            // Somebody let go of it before, or it is another object by now.
            Err(ReconcileError::Api { source, .. }) if is_invalid(&source) => {}
            released => drop(released?),
        }
    }
    Ok(owned)
}

async fn patch_owner<K: Owned>(
    api: &Api<K>,
    object: &K,
    patch: serde_json::Value,
) -> Result<Option<K>, ReconcileError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    match api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(source) => Err(ReconcileError::Api { step: "writing the owner reference", source }),
    }
}
