//! How many Pods the owners of some Pods want together.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{DynamicObject, GroupVersionKind, TypeMeta};
use kube::{Api, Client, ResourceExt};

use crate::context::Caches;
use crate::objects::meta::{Key, controller_key, controller_of, uid};
use crate::runtime::error::{is_not_found, text};

/// What is found.
pub(super) struct Scale {
    pub(super) sum: i32,
    /// Whether some Pods have no owner, so that nobody says how many there should be.
    pub(super) unmanaged: bool,
}

/// Adds up what the owners say; the error says for a user why that cannot be told.
pub(super) async fn scale(client: &Client, caches: &Caches, pods: &[Arc<Pod>]) -> Result<Scale, String> {
    let (mut owners, mut unmanaged) = (HashMap::<String, i32>::new(), false);
    for pod in pods {
        let Some(reference) = controller_of(&pod.metadata) else {
            unmanaged = true;
            continue;
        };
        if owners.contains_key(&reference.uid) {
            continue;
        }
        let found = match known(caches, pod, reference) {
            Some(found) => Some(found),
            None => asked(client, pod, reference).await?,
        };
        let (owner, replicas) =
            found.ok_or_else(|| format!("found no controllers for pod {:?}", pod.name_any()))?;
        owners.insert(owner, replicas);
    }
    Ok(Scale { sum: owners.values().sum(), unmanaged })
}

/// The owner of a kind that is cached, its uid and its scale. That of a ReplicaSet is its Deployment if it has one.
fn known(caches: &Caches, pod: &Pod, reference: &OwnerReference) -> Option<(String, i32)> {
    let meta = &pod.metadata;
    let one = |replicas: Option<i32>| replicas.unwrap_or(1);
    if let Some(key) = controller_key::<ReplicaSet>(meta) {
        let set = caches.replica_sets.get(&key).filter(|set| uid(&set.metadata) == reference.uid)?;
        let Some(owner) = controller_of(&set.metadata).filter(|owner| owner.kind == "Deployment") else {
            return Some((reference.uid.clone(), one(set.spec.as_ref()?.replicas)));
        };
        let key = controller_key::<Deployment>(&set.metadata)?;
        let deployment = caches.deployments.get(&key).filter(|found| uid(&found.metadata) == owner.uid)?;
        return Some((owner.uid.clone(), one(deployment.spec.as_ref()?.replicas)));
    }
    if let Some(key) = controller_key::<StatefulSet>(meta) {
        let set = caches.stateful_sets.get(&key).filter(|set| uid(&set.metadata) == reference.uid)?;
        return Some((reference.uid.clone(), one(set.spec.as_ref()?.replicas)));
    }
    let key: Key = controller_key::<ReplicationController>(meta)?;
    let set = caches.replication_controllers.get(&key).filter(|set| uid(&set.metadata) == reference.uid)?;
    Some((reference.uid.clone(), one(set.spec.as_ref()?.replicas)))
}

/// The owner of another kind, if that has a scale.
async fn asked(client: &Client, pod: &Pod, owner: &OwnerReference) -> Result<Option<(String, i32)>, String> {
    let types = TypeMeta { api_version: owner.api_version.clone(), kind: owner.kind.clone() };
    let gvk = GroupVersionKind::try_from(&types).map_err(|error| error.to_string())?;
    let found = kube::discovery::pinned_kind(client, &gvk).await;
    let (resource, capabilities) = found.map_err(|error| text(&error))?;
    if !capabilities.subresources.iter().any(|(sub, _)| sub.plural == "scale" || sub.kind == "Scale") {
        let group = if gvk.group.is_empty() { String::new() } else { format!(".{}", gvk.group) };
        return Err(format!("{}{group} does not implement the scale subresource", resource.plural));
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    match api.get_scale(&owner.name).await {
        Ok(scale) if scale.metadata.uid.as_deref() == Some(&owner.uid) => {
            Ok(Some((owner.uid.clone(), scale.spec.and_then(|spec| spec.replicas).unwrap_or(0))))
        }
        Ok(_) => Ok(None),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(text(&error)),
    }
}
