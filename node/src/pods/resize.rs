//! Containers that run get what their pod was given since they were started.
//!
//! What may change while they run is changed by their runtimes, all at once; those that want it otherwise are stopped and
//! started again. The pod's own limits are widened before and narrowed after, because a group may never have less than those
//! below it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use wherry_runtime_api::{ContainerId, Resources, SandboxSpec};

use super::allocation::{differing, has_as_a_whole};
use super::jobs::Done;
use super::life::View;
use super::plan::{Action, Plan, Views, World};
use crate::context::{Context, chain};
use crate::runtimes::Handler;

/// Whether a change from one to the other wants the container started again.
pub(super) fn wants_restart(
    container: &Container,
    from: &ResourceRequirements,
    to: &ResourceRequirements,
) -> bool {
    let restarts = |name: &str| {
        let policies = container.resize_policy.iter().flatten();
        policies
            .into_iter()
            .any(|policy| policy.resource_name == name && policy.restart_policy == "RestartContainer")
    };
    differing(from, to).any(restarts)
}

/// Whether the pod or its containers run with something else than they were given.
pub(super) fn is_in_progress(world: &World<'_>, views: &Views<'_>) -> bool {
    views.own().any(View::is_resized) || is_pod_resized(world, views)
}

/// Whether the pod, of which something runs, has something else as a whole than it was given.
fn is_pod_resized(world: &World<'_>, views: &Views<'_>) -> bool {
    views.own().any(|view| view.life.is_alive())
        && !has_as_a_whole(world.pod, world.memory.own_applied.as_ref())
}

/// Asks for what can be changed while containers run.
pub(super) fn plan(world: &World<'_>, views: &Views<'_>, plan: &mut Plan) {
    let in_place = |view: &&View<'_>| view.is_resized() && !view.wants_restart();
    let wanted = views.own().filter(in_place).filter_map(|view| view.newest);
    let containers: Vec<_> = wanted.map(|running| (running.status.id.clone(), running.handler)).collect();
    let is_wanted = !containers.is_empty() || is_pod_resized(world, views);
    if is_wanted && plan.is_due(world.memory.resize.due(world.now)) {
        let narrows = !views.own().any(|view| view.is_resized() && view.wants_restart());
        plan.actions.push(Action::Resize { containers, narrows });
    }
}

/// What is to be changed.
pub(super) struct Order {
    /// The pod's sandbox.
    pub(super) sandbox: SandboxSpec,
    /// The pod's limits while containers change, and then.
    pub(super) limits: (Resources, Resources),
    /// The runtimes of what runs of it.
    pub(super) handlers: BTreeSet<Handler>,
    /// The containers, and what each is to have.
    pub(super) containers: Vec<(ContainerId, Handler, ResourceRequirements)>,
    /// What the pod itself is to have, if it has it then.
    pub(super) own: Option<ResourceRequirements>,
}

/// Changes the limits of containers that run.
pub(super) async fn run(ctx: Arc<Context>, order: Order) -> Done {
    let mut applied = Vec::new();
    let own = order.own.clone();
    let result = change(&ctx, order, &mut applied).await;
    Done::Resized { applied, result: result.map(|()| own) }
}

async fn change(
    ctx: &Context,
    order: Order,
    applied: &mut Vec<(ContainerId, ResourceRequirements)>,
) -> Result<(), String> {
    let Order { mut sandbox, limits, handlers, containers, own: _ } = order;
    sandbox.resources = limits.0;
    limit(ctx, &sandbox, &handlers).await?;
    for (id, handler, wanted) in &containers {
        let limits = super::resources::of(wanted);
        let updated = ctx.runtimes.get(*handler).update(id, &limits).await;
        updated.map_err(|error| format!("resizing container {:?}: {}", id.name, chain(&error)))?;
        applied.push((id.clone(), wanted.clone()));
    }
    sandbox.resources = limits.1;
    limit(ctx, &sandbox, &handlers).await
}

/// Gives the pod its limits in these runtimes.
async fn limit(ctx: &Context, sandbox: &SandboxSpec, handlers: &BTreeSet<Handler>) -> Result<(), String> {
    for handler in handlers {
        let limited = ctx.runtimes.get(*handler).ensure_sandbox(sandbox).await;
        limited.map_err(|error| format!("resizing the pod: {}", chain(&error)))?;
    }
    Ok(())
}
