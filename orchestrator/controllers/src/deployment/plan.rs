//! What a Deployment needs next, as data.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use super::model::{Model, Planned, replicas};
use super::{cleanup, conditions, limits, recreate, revision, rolling, scale, status};

/// What was observed.
pub(super) struct World<'a> {
    pub(super) deployment: &'a Deployment,
    /// The ReplicaSets of the Deployment.
    pub(super) sets: &'a [Arc<ReplicaSet>],
    /// Their Pods; only looked at by Recreate.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) now: Timestamp,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Create the set of a new template.
    Create(Box<ReplicaSet>),
    /// Write a set; `scaled_from` tells how many Pods it had if that changes.
    Update { set: Box<ReplicaSet>, scaled_from: Option<i32> },
    /// Delete a set that history has no room for.
    Delete(Box<ReplicaSet>),
    /// Write the revision at the Deployment.
    Revision(String),
    /// Write the Deployment's status.
    Status(Box<DeploymentStatus>),
}

/// All writes, in order, and when to look again if nothing happens before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) look_again: Option<Duration>,
}

/// Decides.
pub(super) fn plan(world: &World<'_>) -> Plan {
    let deployment = world.deployment;
    let mut model = Model::new(deployment, world.sets, world.now);
    if deployment.metadata.deletion_timestamp.is_some() {
        let status = status::counts(&model);
        return finish(&model, &status);
    }
    conditions::note_pause(&mut model);
    if model.is_paused() || scale::was_scaled(&model) {
        revision::sync(&mut model);
        scale::scale(&mut model);
        if model.is_paused() {
            cleanup::clean_up(&mut model);
        }
        let status = status::counts(&model);
        return finish(&model, &status);
    }
    if limits::is_recreate(deployment) {
        recreate::roll(&mut model, world.pods);
    } else {
        rolling::roll(&mut model);
    }
    if conditions::is_complete(&model, &status::counts(&model)) {
        cleanup::clean_up(&mut model);
    }
    let status = conditions::progress(&mut model);
    finish(&model, &status)
}

/// Turns the differences between the model and what was observed into actions.
fn finish(model: &Model<'_>, status: &DeploymentStatus) -> Plan {
    let newest_first = model.newest.into_iter().chain(model.old_indices()).map(|index| &model.sets[index]);
    let mut actions: Vec<_> = newest_first.filter_map(action).collect();
    // What deletes comes after what scales.
    actions.sort_by_key(|action| matches!(action, Action::Delete(_)));
    actions.extend(model.revision.clone().map(Action::Revision));
    if model.deployment.status.as_ref() != Some(status) {
        actions.push(Action::Status(Box::new(status.clone())));
    }
    Plan { actions, look_again: conditions::deadline(model, status) }
}

fn action(planned: &Planned) -> Option<Action> {
    let set = Box::new(planned.set.clone());
    let Some(observed) = &planned.observed else { return Some(Action::Create(set)) };
    if planned.delete {
        return Some(Action::Delete(set));
    }
    if **observed == planned.set {
        return None;
    }
    let before = replicas(observed);
    Some(Action::Update { scaled_from: (before != planned.replicas()).then_some(before), set })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod rollout_tests;
