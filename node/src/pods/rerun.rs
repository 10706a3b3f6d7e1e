//! All containers of a pod begin anew, because one of them ended in a way that asks for it (`RestartAllContainers`).
//!
//! ```text
//! runs --one ends, a rule names all--> ends: those that run are killed, none is started
//!   ^                                    | nothing runs
//!   +-- init containers in order, <------+ Rerun: what ended so far counts no more
//!       then the others
//! ```
//!
//! # Guarantees
//! - The pod keeps its network, its volumes and what it was given. Attempts are counted on, their logs and ends are there as after any
//!   other restart, and each container waits as long for its next attempt as after any other restart.
//! - An agent that starts again in between goes on: a container that shows that it waits is one that is to be started.
//!
//! # Caveats
//! Ephemeral containers stay as they are.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::life::{Life, View};
use super::memory::Why;
use super::plan::{Action, Plan, Views, World, stop};
use super::restarts;

/// Whether a container ended so that all are to begin anew.
pub(super) fn is_wanted(views: &Views<'_>) -> bool {
    views.own().any(is_wanted_by)
}

/// Whether this one did; it is shown as ended until it is done, which an agent that starts again goes by.
pub(super) fn is_wanted_by(view: &View<'_>) -> bool {
    view.exit().is_some_and(|exit| restarts::restarts_all(&view.spec, exit.code))
}

/// Ends what runs, and when nothing does, begins anew. False if that is not to be.
pub(super) fn plan(world: &World<'_>, views: &Views<'_>, plan: &mut Plan) -> bool {
    if !is_wanted(views) {
        return false;
    }
    let is_under_way =
        |view: &View<'_>| view.memory.is_some_and(|memory| memory.launch.is_busy() || memory.stop.is_some());
    let mut rests = true;
    for view in views.own() {
        rests &= !view.life.is_alive() && !is_under_way(view);
        if view.life.is_alive() {
            stop(world, view, Duration::ZERO, Why::Rerun, plan);
        }
    }
    if rests {
        let ended = |view: &View<'_>| match &view.life {
            Life::Ended { attempt, .. } => Some((view.spec.name.clone(), *attempt)),
            Life::Never | Life::Created { .. } | Life::Alive { .. } => None,
        };
        plan.actions.push(Action::Rerun(views.own().filter_map(ended).collect()));
        plan.wake(world.now);
    }
    true
}

/// The last attempt before all containers of the pod were last begun anew, from what an earlier agent said of one.
pub(super) fn recall(pod: &Pod, recorded: &ContainerStatus) -> Option<u32> {
    let waits = recorded.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let ended = recorded.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    let attempt = u32::try_from(recorded.restart_count).ok()?;
    (waits && ended && restarts::may_restart_all(pod)).then_some(attempt)
}
