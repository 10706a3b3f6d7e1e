//! What to do next for one pod: a pure function of everything known.
//!
//! # Flow
//! ```text
//! devices, processors -> images, volumes -> network and sandbox -> init containers in order -> containers -> (probes, restarts)
//!      -> ending (deleted, past its deadline, or all done) -> stops -> final status -> teardown -> Pod deleted
//! ```
//!
//! # Guarantees
//! - [`plan`] has no effects and no clock; the same [`World`] gives the same [`Plan`].
//! - A step that is under way is not asked for again; one that failed is asked for again when its wait is over.
//! - What is neither due nor under way has a time in [`Plan::wake_at`], or waits for a wake from outside.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use wherry_runtime_api::ContainerId;

use super::admitting;
use super::allocation::own_of;
use super::backoff::later;
use super::ending;
use super::life::{Life, View};
use super::memory::{Due, Memory, Step, Why};
use super::restarts::RestartPolicy;
use super::specs::{self, Role};
use super::{rerun, resize, status, storage};
use crate::admission::Admission;
use crate::containers::Running;
use crate::runtimes::Handler;

/// How long a launched container may take to be listed.
const RELAUNCH_AFTER: Duration = Duration::from_secs(1);

/// Facts of the node a plan depends on.
#[derive(Clone, Debug)]
pub(super) struct NodeFacts {
    /// The node's addresses.
    pub(super) host_ips: Vec<IpAddr>,
    /// Whether pods can have a network namespace here.
    pub(super) has_namespaces: bool,
    /// Which pods it takes.
    pub(super) admission: Arc<Admission>,
    /// How long a ready pod goes on serving after its deletion.
    pub(super) endpoint_drain: Duration,
}

/// Everything known of one pod.
pub(super) struct World<'a> {
    /// What is asked for.
    pub(super) pod: &'a Pod,
    /// Whether the Pod object is gone.
    pub(super) gone: bool,
    /// Its containers, oldest attempts first.
    pub(super) containers: &'a [Running],
    /// What was done so far.
    pub(super) memory: &'a Memory,
    /// About the node.
    pub(super) node: &'a NodeFacts,
    /// The time.
    pub(super) now: Timestamp,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Give the pod's containers what they are to have for themselves.
    Admit,
    /// Set the pod's volumes up.
    MountVolumes,
    /// Bring the files of the pod's volumes up to date.
    RefreshVolumes,
    /// Have the image of the container's attempt fetched and prepared.
    EnsureImage {
        /// The container.
        container: String,
        /// The attempt.
        attempt: u32,
    },
    /// Give the pod its address and its sandboxes.
    SetUpNetwork {
        /// Whether it needs a network namespace.
        netns: bool,
    },
    /// Create and start an attempt at a container.
    Launch {
        /// The container.
        container: String,
        /// The attempt.
        attempt: u32,
        /// When the attempt before ended, if it ran.
        after: Option<Timestamp>,
    },
    /// Stop a container.
    Stop {
        /// Which.
        id: ContainerId,
        /// In which runtime.
        handler: Handler,
        /// How long it may take.
        grace: Duration,
        /// Why.
        why: Why,
    },
    /// Begin all containers of the pod anew; these are their last attempts so far.
    Rerun(Vec<(String, u32)>),
    /// Give containers that run what their pod was given.
    Resize {
        /// Which, and in which runtimes.
        containers: Vec<(ContainerId, Handler)>,
        /// Whether the pod needs no more than it was given from then on.
        narrows: bool,
    },
    /// See what the pod takes of the disk.
    MeasureStorage {
        /// The containers that run, and in which runtimes.
        containers: Vec<(ContainerId, Handler)>,
    },
    /// Remove an old attempt.
    Remove {
        /// Which.
        id: ContainerId,
        /// In which runtime.
        handler: Handler,
    },
    /// Give everything back: containers, sandbox, address, volumes.
    TearDown,
    /// Delete the Pod object.
    DeletePod,
}

/// What to do, what to report, and when to look again.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// What to do now.
    pub(super) actions: Vec<Action>,
    /// The status to report.
    pub(super) status: PodStatus,
    /// When to look again, if nothing happens before.
    pub(super) wake_at: Option<Timestamp>,
    /// Whether the pod is being ended.
    pub(super) ending: bool,
    /// Whether nothing is left to do, ever.
    pub(super) finished: bool,
}

impl Plan {
    /// Looks again at that time, or before.
    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |current| current.min(at)));
    }

    /// Whether to do something now; if it is due later, looks again then.
    pub(super) fn is_due(&mut self, due: Due) -> bool {
        match due {
            Due::Now => true,
            Due::No => false,
            Due::At(at) => {
                self.wake(at);
                false
            }
        }
    }
}

/// All containers of the pod as the planner sees them.
pub(super) struct Views<'a> {
    /// Init containers in order.
    pub(super) init: Vec<View<'a>>,
    /// Those the pod consists of, in order.
    pub(super) main: Vec<View<'a>>,
    /// Ephemeral ones in order.
    pub(super) ephemeral: Vec<View<'a>>,
}

impl<'a> Views<'a> {
    /// Joins what is known of every container.
    pub(super) fn new(world: &World<'a>) -> Self {
        let of_pod = (RestartPolicy::of_pod(world.pod.spec.as_ref()), own_of(world.pod));
        let mut views = Self { init: Vec::new(), main: Vec::new(), ephemeral: Vec::new() };
        for (role, spec) in specs::containers(world.pod) {
            let memory = world.memory.containers.get(&spec.name);
            let view = View::new((role, spec), of_pod, world.containers, memory);
            match role {
                Role::Init => views.init.push(view),
                Role::Main => views.main.push(view),
                Role::Ephemeral => views.ephemeral.push(view),
            }
        }
        views
    }

    /// Init containers, then the others.
    pub(super) fn all(&self) -> impl Iterator<Item = &View<'a>> {
        self.own().chain(&self.ephemeral)
    }

    /// Those the pod was made with.
    pub(super) fn own(&self) -> impl Iterator<Item = &View<'a>> {
        self.init.iter().chain(&self.main)
    }
}

/// How far the init containers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Init {
    /// The containers may start.
    Done,
    /// This one is to run now.
    At(usize),
    /// One failed for good.
    Failed,
}

/// Says what to do next.
pub(super) fn plan(world: &World<'_>) -> Plan {
    let views = Views::new(world);
    let mut plan = Plan::default();
    let init = init_progress(&views);
    match ending::of(world, &views, init, &mut plan) {
        Some(ending) => ending::plan(world, &views, (ending, init), &mut plan),
        None => plan_running(world, &views, init, &mut plan),
    }
    remove_old(world, &views, &mut plan);
    plan
}

/// How far the init containers are. Containers that ever ran prove that init was done once.
pub(super) fn init_progress(views: &Views<'_>) -> Init {
    if views.main.iter().any(|view| !matches!(view.life, Life::Never) && !view.awaits_rerun()) {
        return Init::Done;
    }
    for (index, view) in views.init.iter().enumerate() {
        if view.is_sidecar() {
            if view.is_started() {
                continue;
            }
            return Init::At(index);
        }
        match view.exit() {
            Some(exit) if exit.code == 0 => {}
            Some(exit) if !view.restarts(exit.code) => return Init::Failed,
            Some(_) | None => return Init::At(index),
        }
    }
    Init::Done
}

fn plan_running(world: &World<'_>, views: &Views<'_>, init: Init, plan: &mut Plan) {
    if !admitting::plan(world, plan) {
        plan.status = status::report(world, views, init, None, plan);
        return;
    }
    prepare(world, views, plan);
    if rerun::plan(world, views, plan) {
        plan.status = status::report(world, views, init, None, plan);
        return;
    }
    resize::plan(world, views, plan);
    storage::plan(world, views, plan);
    // Also where init containers fail: that is when somebody wants to look inside.
    for view in &views.ephemeral {
        run_container(world, view, plan);
    }
    let current = match init {
        Init::At(index) => index,
        Init::Done | Init::Failed => views.init.len(),
    };
    for (index, view) in views.init.iter().enumerate().take(current + 1) {
        if index == current || view.is_sidecar() {
            run_container(world, view, plan);
        }
    }
    if init == Init::Done {
        for view in &views.main {
            run_container(world, view, plan);
        }
    }
    plan.status = status::report(world, views, init, None, plan);
}

/// Images, volumes, network: what containers need before they are launched.
fn prepare(world: &World<'_>, views: &Views<'_>, plan: &mut Plan) {
    if plan.is_due(world.memory.volumes.due(world.now)) {
        plan.actions.push(Action::MountVolumes);
    }
    if let Some(refresh_at) = world.memory.volumes.done().and_then(|volumes| volumes.refresh_at)
        && !world.memory.volumes_busy
        && plan.is_due(Due::by(refresh_at, world.now))
    {
        plan.actions.push(Action::RefreshVolumes);
    }
    for view in views.all() {
        if matches!(view.life, Life::Never | Life::Created { .. }) {
            ensure_image(world, view, plan);
        }
    }
    if let Some(netns) = needs_netns(world, views)
        && plan.is_due(world.memory.network.due(world.now))
    {
        plan.actions.push(Action::SetUpNetwork { netns });
    }
}

/// Asks for the image of the view's next attempt unless it is ready.
fn ensure_image(world: &World<'_>, view: &View<'_>, plan: &mut Plan) -> bool {
    let attempt = view.life.next_attempt();
    let due = match view.memory {
        Some(memory) if memory.image_attempt == attempt => memory.image.due(world.now),
        Some(memory) if memory.image.is_busy() => Due::No,
        Some(_) | None => Due::Now,
    };
    let action = Action::EnsureImage { container: view.spec.name.clone(), attempt };
    if plan.is_due(due) && !plan.actions.contains(&action) {
        plan.actions.push(action);
    }
    view.memory.is_some_and(|memory| memory.image_attempt == attempt && memory.image.done().is_some())
}

/// Whether the pod needs a network namespace; `None` while that is not known.
fn needs_netns(world: &World<'_>, views: &Views<'_>) -> Option<bool> {
    let mut needs = false;
    for view in views.own() {
        needs |= match (view.newest, view.memory.map(|memory| &memory.image)) {
            (Some(running), _) => running.handler == Handler::Runc,
            (None, Some(Step::Done(image))) => image.handler == Handler::Runc,
            // It may turn out to be either; a wasm container runs in a namespace too.
            (None, Some(Step::Failed(_))) => world.node.has_namespaces,
            // It has run: what it was is in its id.
            (None, _) if view.life.exit().is_some() => {
                view.life.exit().is_some_and(|exit| exit.container_id.starts_with("runc://"))
            }
            (None, _) => return None,
        };
    }
    Some(needs)
}

/// Keeps one container running, or lets it be.
fn run_container(world: &World<'_>, view: &View<'_>, plan: &mut Plan) {
    match &view.life {
        Life::Never | Life::Created { .. } => launch(world, view, None, plan),
        Life::Alive { .. } if view.is_outdated() => stop(world, view, full_grace(world), Why::Changed, plan),
        Life::Alive { .. } if view.wants_restart() => {
            stop(world, view, full_grace(world), Why::Resized, plan);
        }
        Life::Alive { .. } => kill_if_failing(world, view, plan),
        Life::Ended { exit, .. } if !view.restarts(exit.code) => {}
        Life::Ended { exit, .. } => {
            let start_at = restart_at(view).unwrap_or(world.now);
            if start_at > world.now {
                plan.wake(start_at);
            } else {
                launch(world, view, exit.finished_at, plan);
            }
        }
    }
}

/// When a container that ended may be started again; `None` means at once.
pub(super) fn restart_at(view: &View<'_>) -> Option<Timestamp> {
    let exit = view.life.exit()?;
    let finished_at = exit.finished_at.filter(|_| !exit.is_lost())?;
    let delay = view.memory?.backoff.delay(finished_at);
    (!delay.is_zero()).then(|| later(finished_at, delay))
}

fn launch(world: &World<'_>, view: &View<'_>, after: Option<Timestamp>, plan: &mut Plan) {
    let image_ready = ensure_image(world, view, plan);
    let pod_ready = world.memory.volumes.done().is_some() && world.memory.network.done().is_some();
    // The pod's limits are set by either; the other comes after.
    let resizes = world.memory.resize.is_busy()
        || plan.actions.iter().any(|action| matches!(action, Action::Resize { .. }));
    if !image_ready || !pod_ready || resizes {
        return;
    }
    let attempt = view.life.next_attempt();
    let due = match view.memory {
        Some(memory) if memory.launch.is_busy() => Due::No,
        Some(memory) if memory.launch_attempt == attempt => match &memory.launch {
            // It was launched and is not seen to run; the runtime may be slow to say so.
            Step::Done(()) if later(memory.launched_at, RELAUNCH_AFTER) <= world.now => Due::Now,
            Step::Done(()) => Due::At(later(memory.launched_at, RELAUNCH_AFTER)),
            launch => launch.due(world.now),
        },
        Some(_) | None => Due::Now,
    };
    if plan.is_due(due) {
        plan.actions.push(Action::Launch { container: view.spec.name.clone(), attempt, after });
    }
}

fn kill_if_failing(world: &World<'_>, view: &View<'_>, plan: &mut Plan) {
    let Some(kill) = view.probes().and_then(|probes| probes.kill.clone()) else { return };
    let own = kill.grace.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    stop(world, view, own.unwrap_or_else(|| full_grace(world)), Why::Probe(kill), plan);
}

fn full_grace(world: &World<'_>) -> Duration {
    grace_of(world.pod)
}

/// How long the pod's containers may take to end.
pub(crate) fn grace_of(pod: &Pod) -> Duration {
    Duration::from_secs(u64::try_from(termination_grace(pod)).unwrap_or(0))
}

/// Asks for a stop unless one that ends as early is under way.
pub(super) fn stop(world: &World<'_>, view: &View<'_>, grace: Duration, why: Why, plan: &mut Plan) {
    let Some(running) = view.newest else { return };
    let under_way = view.memory.and_then(|memory| memory.stop.as_ref());
    let id = running.status.id.clone();
    let same = under_way.filter(|stop| stop.id == id && stop.kill_at <= later(world.now, grace));
    let due = same.map_or(Due::Now, |stop| match stop.retry_at {
        None => Due::No,
        Some(at) if at > world.now => Due::At(at),
        Some(_) => Due::Now,
    });
    if !plan.is_due(due) {
        return;
    }
    plan.actions.push(Action::Stop { id, handler: running.handler, grace, why });
}

/// The seconds the pod's containers may take to end.
pub(super) fn termination_grace(pod: &Pod) -> i64 {
    pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30)
}

/// The newest attempt and the one before stay, for logs and `lastState`; what the spec does not name goes.
fn remove_old(world: &World<'_>, views: &Views<'_>, plan: &mut Plan) {
    if world.memory.teardown.is_busy() {
        return;
    }
    for running in world.containers {
        let id = &running.status.id;
        let newest = views.all().find(|view| view.spec.name == id.name).map(|view| view.life.attempt());
        let is_old = newest.is_none_or(|newest| id.attempt + 1 < newest);
        if is_old && !world.memory.removing.contains(id) {
            plan.actions.push(Action::Remove { id: id.clone(), handler: running.handler });
        }
    }
}
