//! What is in a Namespace, and how it is emptied.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::core::PartialObjectMeta;
use kube::discovery::verbs;

use crate::runtime::error::is_not_found;
use crate::runtime::everything::Kind;

/// What is left of a Namespace's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remaining {
    /// Objects left, by `resource.group`.
    pub(super) objects: BTreeMap<String, usize>,
    /// Objects that a finalizer keeps, by finalizer.
    pub(super) finalizers: BTreeMap<String, usize>,
    /// What could not be listed or deleted.
    pub(super) failures: Vec<String>,
    /// The groups and versions of which nobody could tell what there is in them.
    pub(super) stale: Vec<String>,
}

impl Remaining {
    /// Whether nothing is left for certain.
    pub(super) fn is_none(&self) -> bool {
        self.objects.is_empty() && self.failures.is_empty() && self.stale.is_empty()
    }

    fn add(&mut self, kind: &Kind, found: &[PartialObjectMeta<DynamicObject>]) {
        if found.is_empty() {
            return;
        }
        self.objects.insert(format!("{}.{}", kind.resource.plural, kind.resource.group), found.len());
        for finalizer in found.iter().flat_map(|object| object.metadata.finalizers.iter().flatten()) {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
    }
}

/// Deletes all objects of these kinds; returns what is left then. A failure at one kind does not keep the
/// others from going.
pub(super) async fn empty(client: &Client, namespace: &str, kinds: &[Kind]) -> Remaining {
    let mut remaining = Remaining::default();
    for kind in kinds.iter().filter(|kind| kind.can(verbs::LIST) && kind.can(verbs::DELETE)) {
        match empty_kind(client, namespace, kind).await {
            Ok(left) => remaining.add(kind, &left),
            Err(error) if is_not_found(&error) => {}
            Err(error) => remaining.failures.push(match error {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            }),
        }
    }
    remaining
}

async fn empty_kind(
    client: &Client,
    namespace: &str,
    kind: &Kind,
) -> Result<Vec<PartialObjectMeta<DynamicObject>>, kube::Error> {
    let api = kind.api(client.clone(), namespace);
    let all = ListParams::default();
    let found = api.list_metadata(&all).await?.items;
    let to_delete: Vec<_> =
        found.iter().filter(|object| object.metadata.deletion_timestamp.is_none()).collect();
    if to_delete.is_empty() {
        return Ok(found);
    }
    let params = DeleteParams::background();
    if kind.can(verbs::DELETE_COLLECTION) {
        api.delete_collection(&params, &all).await?;
    } else {
        for object in to_delete {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            match api.delete(name, &params).await {
                Err(error) if !is_not_found(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(api.list_metadata(&all).await?.items)
}
