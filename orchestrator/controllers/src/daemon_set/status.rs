//! The DaemonSet's status, from its nodes and Pods.

use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::plan::{World, is_available, places};
use super::pod::is_updated;
use crate::objects::pods::is_ready;

/// Computes the status. Its generation is raised only if the set was acted on (`is_observed`).
pub(super) fn status(world: &World<'_>, is_observed: bool) -> DaemonSetStatus {
    let before = world.set.status.clone().unwrap_or_default();
    let generation = if is_observed { world.set.metadata.generation } else { before.observed_generation };
    let mut status = DaemonSetStatus {
        observed_generation: generation,
        collision_count: before.collision_count,
        conditions: before.conditions,
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    for place in places(world, true) {
        let Some(oldest) = place.pods.first() else {
            status.desired_number_scheduled += i32::from(place.belongs.shall_run);
            continue;
        };
        if !place.belongs.shall_run {
            status.number_misscheduled += i32::from(place.exists);
            continue;
        }
        status.desired_number_scheduled += 1;
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(is_ready(oldest));
        available += i32::from(is_available(world, oldest));
        updated += i32::from(is_updated(world.set, oldest, world.hash));
    }
    let some = |count: i32| (count != 0).then_some(count);
    status.updated_number_scheduled = some(updated);
    status.number_available = some(available);
    status.number_unavailable = some(status.desired_number_scheduled - available);
    status
}
