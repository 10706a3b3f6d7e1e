//! The Deployment's conditions: Available, Progressing, ReplicaFailure, with upstream's reasons and messages.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::model::Model;
use super::status;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";

const MINIMUM_AVAILABLE: &str = "MinimumReplicasAvailable";
const MINIMUM_UNAVAILABLE: &str = "MinimumReplicasUnavailable";
/// The set of the new template was created.
pub(super) const NEW_CREATED: &str = "NewReplicaSetCreated";
/// The set of the new template was there already.
pub(super) const NEW_FOUND: &str = "FoundNewReplicaSet";
/// The set of the new template could not be created.
pub(super) const CREATE_FAILED: &str = "ReplicaSetCreateError";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const UPDATED: &str = "ReplicaSetUpdated";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

/// Whether lack of progress is to be noticed.
pub(super) fn has_deadline(deployment: &Deployment) -> bool {
    deadline_seconds(deployment).is_some()
}

fn deadline_seconds(deployment: &Deployment) -> Option<i32> {
    let seconds = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds);
    seconds.filter(|seconds| *seconds != i32::MAX)
}

/// The Progressing condition as planned so far.
pub(super) fn progressing<'m>(model: &'m Model<'_>) -> Option<&'m DeploymentCondition> {
    find(&model.conditions, PROGRESSING)
}

/// Sets the Progressing condition.
pub(super) fn set_progressing(model: &mut Model<'_>, status: &str, reason: &str, message: String) {
    let condition = condition(model, PROGRESSING, status, reason, message);
    set(&mut model.conditions, condition);
}

/// Notes that the Deployment was paused or resumed.
pub(super) fn note_pause(model: &mut Model<'_>) {
    if !has_deadline(model.deployment) {
        return;
    }
    let reason = progressing(model).and_then(|condition| condition.reason.as_deref());
    if reason == Some(TIMED_OUT) {
        return;
    }
    match (model.is_paused(), reason == Some(PAUSED)) {
        (true, false) => set_progressing(model, "Unknown", PAUSED, "Deployment is paused".to_owned()),
        (false, true) => set_progressing(model, "Unknown", RESUMED, "Deployment is resumed".to_owned()),
        (true, true) | (false, false) => {}
    }
}

/// The planned conditions with Available by this count.
pub(super) fn with_available(model: &Model<'_>, available: i32) -> Vec<DeploymentCondition> {
    let mut conditions = model.conditions.clone();
    let condition = if available >= model.wanted() - model.limits.max_unavailable {
        let message = "Deployment has minimum availability.".to_owned();
        condition(model, AVAILABLE, "True", MINIMUM_AVAILABLE, message)
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        condition(model, AVAILABLE, "False", MINIMUM_UNAVAILABLE, message)
    };
    set(&mut conditions, condition);
    conditions
}

/// Whether all Pods are of the current template and available.
pub(super) fn is_complete(model: &Model<'_>, status: &DeploymentStatus) -> bool {
    let wanted = model.wanted();
    let is_wanted = |count: Option<i32>| count.unwrap_or(0) == wanted;
    is_wanted(status.updated_replicas)
        && is_wanted(status.replicas)
        && is_wanted(status.available_replicas)
        && status.observed_generation >= model.deployment.metadata.generation
}

/// The status with progress noted.
pub(super) fn progress(model: &mut Model<'_>) -> DeploymentStatus {
    if has_deadline(model.deployment) {
        let counted = status::counts(model);
        note_progress(model, &counted);
    } else {
        model.conditions.retain(|condition| condition.type_ != PROGRESSING);
    }
    note_failure(model);
    status::counts(model)
}

fn note_progress(model: &mut Model<'_>, counted: &DeploymentStatus) {
    let reason = progressing(model).and_then(|condition| condition.reason.as_deref());
    if counted.replicas == counted.updated_replicas && reason == Some(NEW_AVAILABLE) {
        return;
    }
    let what = subject(model);
    if is_complete(model, counted) {
        set_progressing(model, "True", NEW_AVAILABLE, format!("{what} has successfully progressed."));
    } else if is_progressing(model.deployment, counted) {
        let mut renewed = condition(model, PROGRESSING, "True", UPDATED, format!("{what} is progressing."));
        if let Some(before) = progressing(model).filter(|before| before.status == "True") {
            renewed.last_transition_time.clone_from(&before.last_transition_time);
        }
        model.conditions.retain(|condition| condition.type_ != PROGRESSING);
        model.conditions.push(renewed);
    } else if is_timed_out(model) {
        set_progressing(model, "False", TIMED_OUT, format!("{what} has timed out progressing."));
    }
}

fn subject(model: &Model<'_>) -> String {
    match model.newest() {
        Some(newest) => {
            format!("ReplicaSet \"{}\"", newest.set.metadata.name.as_deref().unwrap_or_default())
        }
        None => format!("Deployment \"{}\"", model.deployment.metadata.name.as_deref().unwrap_or_default()),
    }
}

/// Whether something moved since the status was last written.
fn is_progressing(deployment: &Deployment, now: &DeploymentStatus) -> bool {
    let before = deployment.status.clone().unwrap_or_default();
    let count = |count: Option<i32>| count.unwrap_or(0);
    let old = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(now.updated_replicas) > count(before.updated_replicas)
        || old(now) < old(&before)
        || count(now.ready_replicas) > count(before.ready_replicas)
        || count(now.available_replicas) > count(before.available_replicas)
}

fn is_timed_out(model: &Model<'_>) -> bool {
    let Some(condition) = progressing(model) else { return false };
    match condition.reason.as_deref() {
        Some(NEW_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => time_left(model, condition).is_some_and(|left| left < SignedDuration::ZERO),
    }
}

fn time_left(model: &Model<'_>, condition: &DeploymentCondition) -> Option<SignedDuration> {
    let seconds = i64::from(deadline_seconds(model.deployment)?);
    let since = condition.last_update_time.as_ref()?.0;
    Some(SignedDuration::from_secs(seconds).saturating_sub(model.now.duration_since(since)))
}

/// When to look again so that a missed deadline is noticed.
pub(super) fn deadline(model: &Model<'_>, status: &DeploymentStatus) -> Option<Duration> {
    let condition = find(status.conditions.as_deref().unwrap_or_default(), PROGRESSING)?;
    let is_settled = matches!(condition.reason.as_deref(), Some(TIMED_OUT | NEW_AVAILABLE | PAUSED));
    if is_settled || model.is_paused() || is_complete(model, status) {
        return None;
    }
    let left = Duration::try_from(time_left(model, condition)?).unwrap_or(Duration::ZERO);
    Some(left + Duration::from_secs(1))
}

/// Takes over why the ReplicaSets cannot make their Pods: the current set's reason first.
fn note_failure(model: &mut Model<'_>) {
    let sets = model.newest().into_iter().chain(model.old());
    let failure = sets
        .flat_map(|planned| planned.set.status.iter().flat_map(|status| status.conditions.iter().flatten()))
        .find(|condition| condition.type_ == REPLICA_FAILURE && condition.status == "True")
        .map(|failure| {
            (failure.reason.clone().unwrap_or_default(), failure.message.clone().unwrap_or_default())
        });
    match failure {
        Some((reason, message)) => {
            let condition = condition(model, REPLICA_FAILURE, "True", &reason, message);
            set(&mut model.conditions, condition);
        }
        None => model.conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
    }
}

fn condition(
    model: &Model<'_>,
    type_: &str,
    status: &str,
    reason: &str,
    message: String,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(model.now)),
        last_transition_time: Some(Time(model.now)),
    }
}

fn find<'c>(conditions: &'c [DeploymentCondition], type_: &str) -> Option<&'c DeploymentCondition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Sets a condition; one of the same status and reason stands, and the time of transition with the status.
pub(super) fn set(conditions: &mut Vec<DeploymentCondition>, mut condition: DeploymentCondition) {
    if let Some(before) = find(conditions, &condition.type_) {
        if before.status == condition.status && before.reason == condition.reason {
            return;
        }
        if before.status == condition.status {
            condition.last_transition_time.clone_from(&before.last_transition_time);
        }
    }
    conditions.retain(|held| held.type_ != condition.type_);
    conditions.push(condition);
}
