//! The end of a pod: because it was deleted, because its time is up, or because its containers are done.

use std::time::Duration;

use jiff::Timestamp;

use super::admitting::{self, Admittance};
use super::backoff::later;
use super::memory::Why;
use super::plan::{Action, Init, Plan, Views, World, grace_of, stop, termination_grace};
use super::status;

/// Why a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The Pod object is gone.
    Gone,
    /// The Pod object is to go.
    Deleted,
    /// `activeDeadlineSeconds` have passed.
    Deadline,
    /// It takes more of the node than it may.
    Evicted,
    /// Nothing is left to run, or an init container failed for good.
    Done,
    /// This node does not take it.
    Rejected,
    /// The API already shows a final phase.
    Terminal,
}

/// Whether and why the pod ends.
pub(super) fn of(world: &World<'_>, views: &Views<'_>, init: Init, plan: &mut Plan) -> Option<Ending> {
    if world.gone {
        return Some(Ending::Gone);
    }
    if world.pod.metadata.deletion_timestamp.is_some() {
        return Some(Ending::Deleted);
    }
    let phase = world.pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if world.memory.final_status.is_none() && matches!(phase, Some("Succeeded" | "Failed")) {
        return Some(Ending::Terminal);
    }
    if admitting::rejection(world, views).is_some() {
        return Some(Ending::Rejected);
    }
    if world.memory.evicted.is_some() {
        return Some(Ending::Evicted);
    }
    if let Some(deadline) = deadline(world) {
        if deadline <= world.now {
            return Some(Ending::Deadline);
        }
        plan.wake(deadline);
    }
    if world.memory.final_status.is_some() {
        return Some(Ending::Done);
    }
    is_done(views, init).then_some(Ending::Done)
}

fn deadline(world: &World<'_>) -> Option<Timestamp> {
    let seconds = world.pod.spec.as_ref()?.active_deadline_seconds?;
    Some(later(world.memory.start_time, Duration::from_secs(u64::try_from(seconds).ok()?)))
}

fn is_done(views: &Views<'_>, init: Init) -> bool {
    match init {
        Init::Failed => true,
        Init::At(_) => false,
        Init::Done => {
            !views.main.is_empty()
                && views
                    .main
                    .iter()
                    .all(|view| view.life.exit().is_some_and(|exit| !view.restarts(exit.code)))
        }
    }
}

/// Stops what runs, reports the final status, gives everything back, deletes the Pod object.
pub(super) fn plan(world: &World<'_>, views: &Views<'_>, (ending, init): (Ending, Init), plan: &mut Plan) {
    plan.ending = true;
    let stopped = stop_all(world, views, ending, plan);
    let end = status::End { ending, stopped, init_failed: init == Init::Failed };
    plan.status = status::report(world, views, Init::Done, Some(end), plan);
    if !stopped {
        return;
    }
    if plan.is_due(world.memory.teardown.due(world.now)) {
        plan.actions.push(Action::TearDown);
    }
    if world.memory.teardown.done().is_none() {
        return;
    }
    match ending {
        Ending::Gone => plan.finished = true,
        Ending::Deleted => delete(world, plan),
        // The object stays until somebody deletes it.
        Ending::Deadline | Ending::Evicted | Ending::Done | Ending::Rejected | Ending::Terminal => {}
    }
}

fn delete(world: &World<'_>, plan: &mut Plan) {
    // A Pod with finalizers outlives its deletion; the worker then waits until it is gone.
    if plan.is_due(world.memory.deletion.due(world.now)) {
        plan.actions.push(Action::DeletePod);
    }
}

/// Asks the containers to stop, sidecars last; says whether all have.
fn stop_all(world: &World<'_>, views: &Views<'_>, ending: Ending, plan: &mut Plan) -> bool {
    let launching = world.memory.containers.values().any(|memory| memory.launch.is_busy());
    let setting_up = world.memory.network.is_busy() || world.memory.volumes_busy;
    let admitting = world.memory.admittance == Admittance::Asked;
    if let Some(drained) = drained_at(world, ending)
        && drained > world.now
    {
        plan.wake(drained);
        return false;
    }
    let grace = grace(world, ending);
    let is_sidecar = |name: &str| views.init.iter().any(|view| view.spec.name == name && view.is_sidecar());
    let alive: Vec<_> = views.all().filter(|view| view.life.is_alive()).collect();
    let others_alive = alive.iter().any(|view| !is_sidecar(&view.spec.name));
    for view in &alive {
        if !others_alive || !is_sidecar(&view.spec.name) {
            stop(world, view, grace, Why::Ending, plan);
        }
    }
    alive.is_empty() && !launching && !setting_up && !admitting
}

/// Until when a ready pod that was deleted goes on serving, because proxies still send to it.
fn drained_at(world: &World<'_>, ending: Ending) -> Option<Timestamp> {
    if ending != Ending::Deleted || world.memory.final_status.is_some() {
        return None;
    }
    let conditions = world.pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let drain = world.node.endpoint_drain.min(grace(world, ending) / 2);
    ready.then(|| later(world.memory.ending_since.unwrap_or(world.now), drain))
}

fn grace(world: &World<'_>, ending: Ending) -> Duration {
    let asked = world.pod.metadata.deletion_grace_period_seconds;
    let seconds = match ending {
        Ending::Deleted => asked.unwrap_or_else(|| termination_grace(world.pod)),
        // Whoever deletes at once still lets the program hear of it.
        Ending::Gone => asked.unwrap_or_else(|| termination_grace(world.pod)).max(1),
        Ending::Evicted => {
            let own = world.memory.evicted.as_ref().map(|eviction| eviction.grace);
            return own.unwrap_or_default().min(grace_of(world.pod));
        }
        Ending::Deadline | Ending::Done | Ending::Rejected | Ending::Terminal => termination_grace(world.pod),
    };
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
