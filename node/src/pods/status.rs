//! A pod's status in kubelet's words, from what is known of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{self as core, HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wherry_runtime_api::User;

use super::admitting;
use super::allocation::{Sizes, with};
use super::backoff::later;
use super::conditions::{self, Progress};
use super::ending::Ending;
use super::image_job::{PULL_FAILED, UNSIGNED};
use super::life::{Exit, Life, View, container_id};
use super::memory::Failure;
use super::plan::{Init, Plan, Views, World, restart_at};
use super::qos::qos_class;
use super::rerun;
use super::resources::whole;
use super::specs::Role;
use crate::volumes::recursive;

/// How long a failed pull is shown as such before its back-off is.
const PULL_ERROR_SHOWN: Duration = Duration::from_secs(2);

/// How a pod ends, and whether everything in it has stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Why it ends.
    pub(super) ending: Ending,
    /// Whether nothing runs any more.
    pub(super) stopped: bool,
    /// Whether an init container failed for good.
    pub(super) init_failed: bool,
}

/// The status to report. Asks to be called again when it will differ by time alone.
pub(super) fn report(
    world: &World<'_>,
    views: &Views<'_>,
    init: Init,
    end: Option<End>,
    plan: &mut Plan,
) -> PodStatus {
    if let Some(status) = &world.memory.final_status {
        return status.clone();
    }
    if end.is_some_and(|end| end.ending == Ending::Terminal) {
        return world.pod.status.clone().unwrap_or_default();
    }
    let mut status = PodStatus {
        phase: Some(phase(views, init, end).to_owned()),
        host_ip: world.node.host_ips.first().map(ToString::to_string),
        host_ips: Some(world.node.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        start_time: Some(Time(world.memory.start_time)),
        qos_class: Some(qos_class(world.pod).to_owned()),
        observed_generation: world.pod.metadata.generation,
        ..PodStatus::default()
    };
    if end.is_some_and(|end| end.ending == Ending::Deadline) {
        status.reason = Some("DeadlineExceeded".to_owned());
        status.message = Some("Pod was active on the node longer than the specified deadline".to_owned());
    }
    if let Some(eviction) = &world.memory.evicted
        && end.is_some_and(|end| end.ending == Ending::Evicted)
    {
        status.reason = Some(eviction.reason.to_owned());
        status.message = Some(eviction.message.clone());
    }
    if end.is_some_and(|end| end.ending == Ending::Rejected)
        && let Some(rejection) = admitting::rejection(world, views)
    {
        status.reason = Some(rejection.reason.to_owned());
        status.message = Some(format!("Pod was rejected: {}", rejection.message));
    }
    set_addresses(world, &mut status);
    set_sizes(world, views, &mut status);
    let mut reporter = Reporter { world, init, end, plan };
    let mut all =
        |views: &[View<'_>]| -> Vec<_> { views.iter().map(|view| reporter.container(view)).collect() };
    status.init_container_statuses = Some(all(&views.init)).filter(|list| !list.is_empty());
    status.container_statuses = Some(all(&views.main));
    status.ephemeral_container_statuses = Some(all(&views.ephemeral)).filter(|list| !list.is_empty());
    let progress = Progress {
        has_sandbox: world.memory.network.done().is_some() && !end.is_some_and(|end| end.stopped),
        initialized: init == Init::Done && !end.is_some_and(|end| end.init_failed),
    };
    status.conditions = Some(conditions::of(world, views, &status, &progress));
    status
}

fn set_addresses(world: &World<'_>, status: &mut PodStatus) {
    let known = world.memory.network.done();
    let known = known.map(|network| network.ips().iter().map(|ip| PodIP { ip: ip.to_string() }).collect());
    let reported = || world.memory.reported.pod_ips.clone();
    if let Some(ips) = known.or_else(reported).filter(|ips: &Vec<PodIP>| !ips.is_empty()) {
        status.pod_ip = ips.first().map(|first| first.ip.clone());
        status.pod_ips = Some(ips);
    }
}

/// What the pod was given as a whole, and what it has of that.
fn set_sizes(world: &World<'_>, views: &Views<'_>, status: &mut PodStatus) {
    let given = whole(world.pod);
    status.allocated_resources.clone_from(&given.requests);
    let applied: BTreeMap<_, _> = views
        .own()
        .filter_map(|view| Some((view.spec.name.clone(), view.applied_of_own()?.into_owned())))
        .collect();
    let has = if applied.is_empty() {
        given
    } else {
        whole(&with(world.pod, &Sizes { by_name: applied, own: world.memory.own_applied.clone() }))
    };
    status.resources = Some(has).filter(|has| *has != core::ResourceRequirements::default());
}

/// Kubelet's phase: `Pending` until every container ran once, then by what runs and how the rest ended.
fn phase(views: &Views<'_>, init: Init, end: Option<End>) -> &'static str {
    if let Some(end) = end.filter(|end| end.stopped) {
        return final_phase(views, end.ending);
    }
    if init != Init::Done {
        return "Pending";
    }
    let not_begun = |view: &View<'_>| matches!(view.life, Life::Never | Life::Created { .. });
    let waiting = views.main.iter().any(|view| not_begun(view) || view.awaits_rerun());
    let running = views.main.iter().any(|view| view.life.is_alive());
    if waiting && end.is_none() {
        return "Pending";
    }
    let restarts =
        views.main.iter().any(|view| view.life.exit().is_some_and(|exit| view.restarts(exit.code)));
    if running || restarts || end.is_some() { "Running" } else { "Pending" }
}

fn final_phase(views: &Views<'_>, ending: Ending) -> &'static str {
    let succeeded = |view: &View<'_>| view.exit().is_some_and(|exit| exit.code == 0);
    let all = !views.main.is_empty() && views.main.iter().all(succeeded);
    if all && !matches!(ending, Ending::Deadline | Ending::Evicted) { "Succeeded" } else { "Failed" }
}

struct Reporter<'a, 'w> {
    world: &'a World<'w>,
    init: Init,
    end: Option<End>,
    plan: &'a mut Plan,
}

impl Reporter<'_, '_> {
    fn container(&mut self, view: &View<'_>) -> core::ContainerStatus {
        let state = self.state(view);
        let is_waiting = state.waiting.is_some();
        let last =
            if is_waiting { view.life.exit().or(view.previous.as_ref()) } else { view.previous.as_ref() };
        let succeeded = view.exit().is_some_and(|exit| exit.code == 0);
        core::ContainerStatus {
            name: view.spec.name.clone(),
            image: view.image().to_owned(),
            image_id: view.memory.map(|memory| memory.image_id.clone()).unwrap_or_default(),
            container_id: known_id(view),
            restart_count: i32::try_from(view.life.attempt()).unwrap_or(i32::MAX),
            ready: match view.role {
                Role::Init if !view.is_sidecar() => succeeded,
                // Nobody serves from it.
                Role::Ephemeral => false,
                Role::Init | Role::Main => view.is_ready(),
            },
            started: Some(view.is_started()),
            state: Some(state),
            last_state: Some(last.map(terminated).unwrap_or_default()),
            volume_mounts: volume_mounts(&view.spec),
            allocated_resources: view.spec.resources.as_ref().and_then(|given| given.requests.clone()),
            resources: (view.role != Role::Ephemeral).then(|| {
                view.applied_of_own()
                    .map(Cow::into_owned)
                    .or_else(|| view.spec.resources.clone())
                    .unwrap_or_default()
            }),
            user: view.newest.and_then(|running| running.status.user.as_ref()).map(user),
            ..core::ContainerStatus::default()
        }
    }

    fn state(&mut self, view: &View<'_>) -> core::ContainerState {
        match &view.life {
            Life::Alive { started_at, .. } => core::ContainerState {
                running: Some(core::ContainerStateRunning { started_at: Some(Time(*started_at)) }),
                ..core::ContainerState::default()
            },
            Life::Ended { exit, .. } => match self.restart_waits_for(view, exit) {
                Some((reason, message)) => waiting(reason, message),
                None => terminated(exit),
            },
            Life::Never | Life::Created { .. } => {
                let (reason, message) = self.start_waits_for(view);
                waiting(reason, message)
            }
        }
    }

    /// Why a container that has ended is not running again yet.
    fn restart_waits_for(&mut self, view: &View<'_>, exit: &Exit) -> Option<(&'static str, String)> {
        if self.end.is_some() || !view.restarts(exit.code) || rerun::is_wanted_by(view) {
            return None;
        }
        if let Some(failure) = self.failure(view) {
            return Some(failure);
        }
        if view.is_replaced() {
            // One that ended for good may not run again, says the API; this one goes on, with another image.
            return Some(("ContainerCreating", String::new()));
        }
        // Its next wait counts as soon as this one is over, and is not what it waits for.
        if view.awaits_rerun() && view.memory.is_some_and(|memory| memory.launch.is_busy()) {
            return Some(self.start_waits_for(view));
        }
        let Some(start_at) = restart_at(view).filter(|at| *at > self.world.now) else {
            return view.awaits_rerun().then(|| self.start_waits_for(view));
        };
        let delay = exit
            .finished_at
            .map_or(Duration::ZERO, |finished| start_at.duration_since(finished).unsigned_abs());
        let meta = &self.world.pod.metadata;
        let message = format!(
            "back-off {} restarting failed container={} pod={}_{}({})",
            go_duration(delay),
            view.spec.name,
            meta.name.as_deref().unwrap_or_default(),
            meta.namespace.as_deref().unwrap_or_default(),
            meta.uid.as_deref().unwrap_or_default(),
        );
        Some(("CrashLoopBackOff", message))
    }

    /// Why a container has not been started yet.
    fn start_waits_for(&mut self, view: &View<'_>) -> (&'static str, String) {
        let has_init = self.world.pod.spec.as_ref().is_some_and(|spec| spec.init_containers.is_some());
        let initializing = view.role == Role::Main && self.init != Init::Done;
        if !initializing && let Some(failure) = self.failure(view) {
            return failure;
        }
        let awaits_init = has_init && view.role != Role::Ephemeral;
        (if awaits_init { "PodInitializing" } else { "ContainerCreating" }, String::new())
    }

    fn failure(&mut self, view: &View<'_>) -> Option<(&'static str, String)> {
        let memory = view.memory?;
        let attempt = view.life.next_attempt();
        let launch = memory.launch.failure().filter(|_| memory.launch_attempt == attempt);
        if let Some(failure) = launch {
            return Some((failure.reason, failure.message.clone()));
        }
        if let Some(failure) = memory.image.failure().filter(|_| memory.image_attempt == attempt) {
            return Some(self.image_failure(view.spec.image.as_deref().unwrap_or_default(), failure));
        }
        self.volume_failure(view)
    }

    /// Why the image is not here that a volume of the container is to show.
    fn volume_failure(&mut self, view: &View<'_>) -> Option<(&'static str, String)> {
        let world = self.world;
        let name = world.memory.image_volume.as_deref()?;
        let failure = world.memory.volumes.failure()?;
        let mut mounts = view.spec.volume_mounts.iter().flatten();
        let mut volumes = world.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let volume = volumes.find(|volume| volume.name == name && mounts.any(|mount| mount.name == name))?;
        let image = volume.image.as_ref()?.reference.as_deref().unwrap_or_default();
        Some(self.image_failure(image, failure))
    }

    fn image_failure(&mut self, image: &str, failure: &Failure) -> (&'static str, String) {
        let shown_until = later(failure.at, PULL_ERROR_SHOWN);
        let is_of_pull = [PULL_FAILED, UNSIGNED].contains(&failure.reason);
        if !is_of_pull || self.world.now < shown_until {
            if is_of_pull {
                self.plan.wake(shown_until);
            }
            return (failure.reason, failure.message.clone());
        }
        let message = format!("Back-off pulling image {image:?}: {}: {}", failure.reason, failure.message);
        ("ImagePullBackOff", message)
    }
}

/// The container's mounts; of those that are read-only, whether all below them is.
fn volume_mounts(container: &core::Container) -> Option<Vec<core::VolumeMountStatus>> {
    let status = |mount: &core::VolumeMount| core::VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only,
        recursive_read_only: (mount.read_only == Some(true)).then(|| {
            let is_recursive = recursive::is_wanted(mount).unwrap_or(false);
            if is_recursive { "Enabled" } else { "Disabled" }.to_owned()
        }),
        ..core::VolumeMountStatus::default()
    };
    Some(container.volume_mounts.as_ref()?.iter().map(status).collect())
}

/// Who the container's program runs as at first.
fn user(of: &User) -> core::ContainerUser {
    let linux = core::LinuxContainerUser {
        uid: of.uid.into(),
        gid: of.gid.into(),
        supplemental_groups: Some(of.groups.iter().map(|group| i64::from(*group)).collect()),
    };
    core::ContainerUser { linux: Some(linux) }
}

fn known_id(view: &View<'_>) -> Option<String> {
    let recorded = || view.life.exit().map(|exit| exit.container_id.clone()).filter(|id| !id.is_empty());
    view.newest.map(container_id).or_else(recorded)
}

fn waiting(reason: &str, message: String) -> core::ContainerState {
    let message = Some(message).filter(|message| !message.is_empty());
    let waiting = core::ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    core::ContainerState { waiting: Some(waiting), ..core::ContainerState::default() }
}

fn terminated(exit: &Exit) -> core::ContainerState {
    let terminated = core::ContainerStateTerminated {
        exit_code: exit.code,
        reason: Some(exit.reason.clone()),
        message: Some(exit.message.clone()).filter(|message| !message.is_empty()),
        started_at: exit.started_at.map(Time),
        finished_at: exit.finished_at.map(Time),
        container_id: Some(exit.container_id.clone()).filter(|id| !id.is_empty()),
        ..core::ContainerStateTerminated::default()
    };
    core::ContainerState { terminated: Some(terminated), ..core::ContainerState::default() }
}

/// `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
