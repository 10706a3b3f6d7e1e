//! Deletes the oldest ReplicaSets that history has no room for.

use super::model::{Model, Planned};
use super::revision::revision_of;

/// Marks old sets without Pods for deletion until no more than the limit are left.
pub(super) fn clean_up(model: &mut Model<'_>) {
    let limit = model.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
    let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return };
    let mut old = model.old_indices();
    old.retain(|index| model.sets[*index].set.metadata.deletion_timestamp.is_none());
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.sort_by_key(|index| revision_of(&model.sets[*index]));
    for index in old.into_iter().take(surplus) {
        if is_empty(&model.sets[index]) {
            model.sets[index].delete = true;
        }
    }
}

/// Whether the set has no Pods and its controller has seen that it shall have none.
fn is_empty(planned: &Planned) -> bool {
    let observed = planned.set.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
    let unchanged = planned.observed.as_ref().is_some_and(|observed| **observed == planned.set);
    planned.replicas() == 0
        && planned.actual() == 0
        && planned.set.metadata.generation.unwrap_or(0) <= observed
        && unchanged
}
