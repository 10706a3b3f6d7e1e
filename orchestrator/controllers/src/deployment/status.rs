//! The Deployment's counts.

use k8s_openapi::api::apps::v1::DeploymentStatus;

use super::conditions;
use super::model::{Model, Planned};

/// The status with counts and the Available condition; progress is up to [`conditions::progress`].
pub(super) fn counts(model: &Model<'_>) -> DeploymentStatus {
    let sum = |of: &dyn Fn(&Planned) -> i32| model.sets.iter().map(of).sum::<i32>();
    let available = model.available();
    let ready =
        sum(&|planned| planned.set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0));
    let terminating =
        |planned: &Planned| planned.set.status.as_ref().and_then(|status| status.terminating_replicas);
    DeploymentStatus {
        observed_generation: model.deployment.metadata.generation,
        replicas: some(sum(&Planned::actual)),
        updated_replicas: some(model.newest().map_or(0, Planned::actual)),
        ready_replicas: some(ready),
        available_replicas: some(available),
        unavailable_replicas: some((model.total() - available).max(0)),
        terminating_replicas: Some(sum(&|planned| terminating(planned).unwrap_or(0))),
        collision_count: model.deployment.status.as_ref().and_then(|status| status.collision_count),
        conditions: Some(conditions::with_available(model, available)),
    }
}

/// Counts are left out when they are zero, as upstream does.
fn some(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
