//! Whether the node has given a pod what its containers are to have for themselves; nothing of a pod starts before.
//!
//! ```text
//! Wanted -> Asked -> Given, or Refused: the pod fails
//! ```

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;

use super::jobs::Done;
use super::life::Life;
use super::plan::{Action, Plan, Views, World};
use crate::admission::Rejection;
use crate::context::Context;

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Admittance {
    /// The pod has all, or wants nothing.
    #[default]
    Given,
    /// It has not been asked for.
    Wanted,
    /// It is being given.
    Asked,
    /// It cannot be had.
    Refused(Rejection),
}

impl Admittance {
    /// Where a pod begins that the agent has not seen before; one of which something ran was taken.
    pub(super) fn begin(ctx: &Context, pod: &Pod, uid: &str) -> Self {
        let status = pod.status.as_ref();
        let recorded = status.into_iter().flat_map(|status| {
            status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
        });
        let has_run = recorded.into_iter().any(|container| container.container_id.is_some());
        let has_containers = !ctx.containers.of_pod(uid).is_empty();
        if has_run || has_containers || !ctx.managers.concerns(pod) { Self::Given } else { Self::Wanted }
    }

    /// The same after an answer; without one, because the pod ended meanwhile, nothing was decided.
    pub(super) fn answered(answer: Option<Result<(), Rejection>>) -> Self {
        match answer {
            None => Self::Wanted,
            Some(Ok(())) => Self::Given,
            Some(Err(rejection)) => Self::Refused(rejection),
        }
    }
}

/// Asks for what is wanted; says whether the pod has all.
pub(super) fn plan(world: &World<'_>, plan: &mut Plan) -> bool {
    if world.memory.admittance == Admittance::Wanted {
        plan.actions.push(Action::Admit);
    }
    world.memory.admittance == Admittance::Given
}

/// Why this node does not take the pod, if it does not. A pod of which something ran was taken, whatever the node would say now.
pub(super) fn rejection(world: &World<'_>, views: &Views<'_>) -> Option<Rejection> {
    if !views.all().all(|view| matches!(view.life, Life::Never)) {
        return None;
    }
    match &world.memory.admittance {
        Admittance::Refused(rejection) => Some(rejection.clone()),
        Admittance::Given | Admittance::Wanted | Admittance::Asked => world.node.admission.check(world.pod),
    }
}

/// Has the pod given what it wants, unless it ends before.
pub(super) async fn run(ctx: Arc<Context>, pod: Arc<Pod>, ending: CancellationToken) -> Done {
    Done::Admitted(ending.run_until_cancelled(ctx.managers.admit(&pod)).await)
}
