//! Scaling: sets one ReplicaSet's size, and spreads a new size of the Deployment over several in proportion.

use super::limits;
use super::model::{Model, Planned};
use super::revision::{DESIRED, MAX};

/// Sets the size of a set and remembers the Deployment's size it was made for.
pub(super) fn resize(model: &mut Model<'_>, index: usize, replicas: i32) {
    let (desired, max) = (model.wanted(), model.wanted() + model.limits.max_surge);
    let planned = &mut model.sets[index];
    if planned.replicas() != replicas {
        planned.set_replicas(replicas);
    }
    planned.annotate(DESIRED, desired.to_string());
    planned.annotate(MAX, max.to_string());
}

/// How large the current set may be now: the surge bounds all sets together.
pub(super) fn allowed_newest(model: &Model<'_>, current: i32) -> i32 {
    if limits::is_recreate(model.deployment) {
        return model.wanted();
    }
    let room = model.wanted() + model.limits.max_surge - model.total();
    current + room.max(0).min(model.wanted() - current)
}

/// Whether the Deployment was scaled since its sets were: then sizes change in proportion, and nothing rolls.
pub(super) fn was_scaled(model: &Model<'_>) -> bool {
    let mut active = model.sets.iter().filter(|planned| planned.replicas() > 0);
    active.any(|planned| number(planned, DESIRED).is_some_and(|desired| desired != model.wanted()))
}

/// Brings all sets to the Deployment's size.
pub(super) fn scale(model: &mut Model<'_>) {
    let active: Vec<_> = (0..model.sets.len()).filter(|index| model.sets[*index].replicas() > 0).collect();
    match active.as_slice() {
        [] => {
            if let Some(index) = model.newest.or_else(|| model.sets.len().checked_sub(1)) {
                resize(model, index, model.wanted());
            }
        }
        [only] => resize(model, *only, model.wanted()),
        _ if is_saturated(model) => {
            let newest = model.newest;
            for index in active.into_iter().filter(|index| Some(*index) != newest) {
                resize(model, index, 0);
            }
        }
        _ if limits::is_recreate(model.deployment) => {}
        _ => spread(model, active),
    }
}

/// Whether the current set has all the Pods it needs, so that the others have no more use.
fn is_saturated(model: &Model<'_>) -> bool {
    let wanted = model.wanted();
    model.newest().is_some_and(|newest| {
        newest.replicas() == wanted && number(newest, DESIRED) == Some(wanted) && newest.available() == wanted
    })
}

/// Spreads the change over the active sets in proportion to their sizes; what rounding leaves goes to the
/// largest.
fn spread(model: &mut Model<'_>, mut active: Vec<usize>) {
    let allowed = if model.wanted() > 0 { model.wanted() + model.limits.max_surge } else { 0 };
    let to_add = allowed - active.iter().map(|index| model.sets[*index].replicas()).sum::<i32>();
    // Largest first; among equals the newer first when growing, the older first when shrinking.
    active.sort_by_key(|index| {
        let age = i64::try_from(*index).unwrap_or(i64::MAX);
        (-model.sets[*index].replicas(), if to_add > 0 { -age } else { age })
    });
    let mut added = 0;
    let mut sizes = Vec::new();
    for index in active {
        let planned = &model.sets[index];
        let share = proportion(model, planned, to_add, added);
        sizes.push((index, planned.replicas() + share));
        added += share;
    }
    if let Some((_, largest)) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    for (index, size) in sizes {
        resize(model, index, size);
    }
}

fn proportion(model: &Model<'_>, planned: &Planned, to_add: i32, added: i32) -> i32 {
    let left = to_add - added;
    if planned.replicas() == 0 || to_add == 0 || left == 0 {
        return 0;
    }
    let fraction = fraction(model, planned);
    if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
}

/// How much the set would grow if it kept its part of the whole.
fn fraction(model: &Model<'_>, planned: &Planned) -> i32 {
    if model.wanted() == 0 {
        return -planned.replicas();
    }
    let status = model.deployment.status.as_ref();
    let before = number(planned, MAX)
        .filter(|max| *max > 0)
        .or_else(|| status.and_then(|status| status.replicas))
        .unwrap_or(0)
        .max(1);
    let size = i64::from(planned.replicas()) * i64::from(model.wanted() + model.limits.max_surge);
    let before = i64::from(before);
    let rounded = (2 * size + before) / (2 * before);
    i32::try_from(rounded).unwrap_or(i32::MAX) - planned.replicas()
}

fn number(planned: &Planned, annotation: &str) -> Option<i32> {
    planned.annotation(annotation)?.parse().ok()
}
