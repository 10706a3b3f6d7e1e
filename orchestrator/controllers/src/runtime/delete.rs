//! How every controller deletes: just the object that it saw, and nothing that took its name.
//!
//! What is not there any more is as good as deleted. A conflict is not: whatever its reason, the caller looks again, because
//! no event need come that would make it.

use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Preconditions};
use serde::de::DeserializeOwned;

use super::error::is_not_found;

/// What the object must still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    /// The one of this uid, whatever became of it.
    This,
    /// As it was seen.
    Unchanged,
}

/// What came of a deletion.
#[derive(Clone, Debug)]
pub(crate) enum Deleted<K> {
    /// It waits for somebody before it goes, or is the object that went.
    Going(Box<K>),
    /// It went.
    Gone,
    /// It was not there.
    Missing,
}

/// Deletes an object that was seen.
pub(crate) async fn delete<K>(
    api: &Api<K>,
    seen: &ObjectMeta,
    only: Only,
    params: DeleteParams,
) -> Result<Deleted<K>, kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let resource_version = seen.resource_version.clone().filter(|_| only == Only::Unchanged);
    let params = params.preconditions(Preconditions { uid: seen.uid.clone(), resource_version });
    match api.delete(seen.name.as_deref().unwrap_or_default(), &params).await {
        Ok(answer) => Ok(answer.left().map_or(Deleted::Gone, |object| Deleted::Going(Box::new(object)))),
        Err(error) if is_not_found(&error) => Ok(Deleted::Missing),
        Err(error) => Err(error),
    }
}
