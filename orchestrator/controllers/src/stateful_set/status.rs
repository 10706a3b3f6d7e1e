//! The StatefulSet's status, from its Pods and revisions.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::identity::revision;
use super::plan::{World, is_available, is_rolling, wanted};
use crate::objects::pods::{is_ready, is_running, is_terminating};

/// The counts, before anything is done.
pub(super) fn counts(world: &World<'_>) -> StatefulSetStatus {
    let set = world.set;
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        some(i32::try_from(world.pods.iter().filter(|pod| wanted(pod)).count()).unwrap_or(i32::MAX))
    };
    let is_of = |pod: &Pod, name: &str| !is_terminating(pod) && revision(pod) == name;
    StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: i32::try_from(world.pods.len()).unwrap_or(i32::MAX),
        ready_replicas: count(&|pod| is_running(pod) && is_ready(pod)),
        available_replicas: Some(count(&|pod| is_available(world, pod)).unwrap_or(0)),
        current_replicas: count(&|pod| is_of(pod, &world.current.name)),
        updated_replicas: count(&|pod| is_of(pod, &world.update.name)),
        current_revision: Some(world.current.name.clone()),
        update_revision: Some(world.update.name.clone()),
        collision_count: Some(world.collisions),
        conditions: set.status.as_ref().and_then(|status| status.conditions.clone()),
    }
}

/// Once all Pods are of the new revision and ready, it is the current one.
pub(super) fn complete(set: &StatefulSet, status: &mut StatefulSetStatus) {
    let all = wanted(set);
    let are_all = |count: Option<i32>| count.unwrap_or(0) == all;
    if is_rolling(set)
        && status.replicas == all
        && are_all(status.updated_replicas)
        && are_all(status.ready_replicas)
    {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
}

/// A count less what goes.
pub(super) fn less(count: Option<i32>, gone: i32) -> Option<i32> {
    some((count.unwrap_or(0) - gone).max(0))
}

/// Counts are left out when they are zero, as upstream does.
fn some(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
