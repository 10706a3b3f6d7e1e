//! Which objects belong to an owner: by its controller reference, and by its selector.
//!
//! An object that matches the selector and has no managing owner is adopted; one that no longer matches is
//! released. Adoption asks the API first whether the owner is still the one the cache shows.

use std::fmt::Debug;
use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::core::{Selector, SelectorExt};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::meta::{controller_of, controller_reference, labels, uid};
use crate::runtime::error::{ReconcileError, Step, is_not_found};

/// The outcome of [`claim`].
pub(crate) struct Claims<K> {
    pub(crate) owned: Vec<Arc<K>>,
    pub(crate) adopt: Vec<Arc<K>>,
    pub(crate) release: Vec<Arc<K>>,
}

/// Decides which of `objects` belong to `owner`.
pub(crate) fn claim<O: ResourceExt, K: ResourceExt>(
    owner: &O,
    selector: &Selector,
    objects: Vec<Arc<K>>,
) -> Claims<K> {
    let mut claims = Claims { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let owner_is_going = owner.meta().deletion_timestamp.is_some();
    for object in objects {
        let matches = selector.matches(labels(object.meta()));
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
pub(crate) async fn settle<O, K>(
    owners: &Api<O>,
    owner: &O,
    objects: &Api<K>,
    claims: Claims<K>,
) -> Result<Vec<Arc<K>>, ReconcileError>
where
    O: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Sync,
    K: Resource + Clone + DeserializeOwned + Debug + Serialize,
{
    let mut owned = claims.owned;
    if !claims.adopt.is_empty() {
        let name = owner.meta().name.as_deref().unwrap_or_default();
        let live = owners.get_metadata(name).await.step("reading the owner before adoption")?;
        if live.metadata.uid != owner.meta().uid || live.metadata.deletion_timestamp.is_some() {
            return Err(ReconcileError::NotReady { what: "the owner as the cache shows it" });
        }
    }
    for object in claims.adopt {
        let patch = json!({ "metadata": {
            "uid": object.meta().uid, "ownerReferences": [controller_reference(owner)],
        } });
        owned.extend(patch_owner(objects, &*object, patch).await?.map(Arc::new));
    }
    for object in claims.release {
        let patch = json!({ "metadata": {
            "uid": object.meta().uid, "ownerReferences": [{ "$patch": "delete", "uid": uid(owner.meta()) }],
        } });
        patch_owner(objects, &*object, patch).await?;
    }
    Ok(owned)
}

async fn patch_owner<K>(
    api: &Api<K>,
    object: &K,
    patch: serde_json::Value,
) -> Result<Option<K>, ReconcileError>
where
    K: Resource + Clone + DeserializeOwned + Debug + Serialize,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    match api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(source) => Err(ReconcileError::Api { step: "writing the owner reference", source }),
    }
}
