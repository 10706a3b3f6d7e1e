//! RollingUpdate: the current set grows as the surge allows, the old ones shrink as availability allows.

use super::model::{Model, Planned, replicas};
use super::revision;
use super::scale::{allowed_newest, resize};

/// Plans one step.
pub(super) fn roll(model: &mut Model<'_>) {
    if model.newest.is_some() {
        revision::sync(model);
        grow_newest(model);
    } else {
        let replicas = allowed_newest(model, 0);
        revision::create(model, replicas);
    }
    shrink_old(model);
}

fn grow_newest(model: &mut Model<'_>) {
    let Some(index) = model.newest else { return };
    let current = model.sets[index].replicas();
    let wanted = if current > model.wanted() { model.wanted() } else { allowed_newest(model, current) };
    if wanted != current {
        resize(model, index, wanted);
    }
}

/// Pods of the current set that are not available yet must not be counted on: the old ones shrink only by
/// what is left above the minimum without them.
fn shrink_old(model: &mut Model<'_>) {
    let minimum = model.wanted() - model.limits.max_unavailable;
    let unavailable = model.newest().map_or(0, |newest| newest.replicas() - certain(newest));
    let room = model.total() - minimum - unavailable;
    if room <= 0 {
        return;
    }
    drop_unhealthy(model, room);
    drop_healthy(model, minimum);
}

/// The set's Pods that are available for certain. A status from before the last change of the set says nothing:
/// the set may have shrunk and grown again since. What is to go does not count either, even if it is asked for again
/// in this step.
fn certain(planned: &Planned) -> i32 {
    let asked_for = planned.observed.as_ref().map_or(0, |set| replicas(set)).min(planned.replicas());
    if is_observed(planned) { planned.available().min(asked_for) } else { 0 }
}

/// Whether the status tells of the set as it was last written.
fn is_observed(planned: &Planned) -> bool {
    let observed = planned.set.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
    planned.set.metadata.generation.unwrap_or(0) <= observed
}

/// First go the Pods that serve nobody anyway.
fn drop_unhealthy(model: &mut Model<'_>, mut room: i32) {
    for index in model.old_indices() {
        let planned = &model.sets[index];
        let replicas = planned.replicas();
        let drop = (replicas - planned.available()).clamp(0, room.max(0));
        if drop > 0 && is_observed(planned) {
            resize(model, index, replicas - drop);
            room -= drop;
        }
    }
}

fn drop_healthy(model: &mut Model<'_>, minimum: i32) {
    let mut room = model.sets.iter().map(certain).sum::<i32>() - minimum;
    for index in model.old_indices() {
        let planned = &model.sets[index];
        let replicas = planned.replicas();
        let drop = replicas.min(room).max(0);
        if drop > 0 && is_observed(planned) {
            resize(model, index, replicas - drop);
            room -= drop;
        }
    }
}
