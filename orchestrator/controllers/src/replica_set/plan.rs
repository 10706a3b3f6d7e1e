//! How many Pods to create, or which to delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::ObjectMeta;

use super::rank::rank;
use crate::objects::meta::controller_reference;
use crate::objects::pods::is_active;

/// The most Pods created or deleted in one go.
const BURST: usize = 500;

/// What brings the number of Pods nearer to what is wanted.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    Nothing,
    Create { count: usize, pod: Box<Pod> },
    Delete(Vec<Arc<Pod>>),
}

/// Decides from the Pods that belong to the set.
pub(super) fn plan(set: &ReplicaSet, pods: &[Arc<Pod>]) -> Decision {
    if set.metadata.deletion_timestamp.is_some() {
        return Decision::Nothing;
    }
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).cloned().collect();
    let wanted = replicas(set);
    if active.len() < wanted {
        return Decision::Create { count: (wanted - active.len()).min(BURST), pod: Box::new(pod(set)) };
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return Decision::Nothing;
    }
    let mut ranked = rank(active);
    ranked.truncate(surplus);
    Decision::Delete(ranked)
}

/// How many Pods the set asks for.
pub(super) fn replicas(set: &ReplicaSet) -> usize {
    let asked = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(asked).unwrap_or(0)
}

/// A new Pod of the set's template, named by the API server.
fn pod(set: &ReplicaSet) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone());
    let PodTemplateSpec { metadata, spec } = template.unwrap_or_default();
    let from = metadata.unwrap_or_default();
    let not_empty = |map: Option<BTreeMap<String, String>>| map.filter(|map| !map.is_empty());
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", set.metadata.name.as_deref().unwrap_or_default())),
        namespace: set.metadata.namespace.clone(),
        labels: not_empty(from.labels),
        annotations: not_empty(from.annotations),
        finalizers: from.finalizers,
        owner_references: Some(vec![controller_reference(set)]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec, status: None }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
