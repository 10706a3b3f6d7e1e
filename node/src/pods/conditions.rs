//! The conditions of a pod.

use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::life::View;
use super::plan::{Views, World};
use super::{rerun, resize, restarts};

/// Says that the pod asks for resources it was not given.
pub(super) const RESIZE_PENDING: &str = "PodResizePending";
/// Says that containers do not have yet what they were given.
pub(super) const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";

/// Says that all containers are ended to be begun anew.
const RESTARTING: &str = "AllContainersRestarting";

/// What conditions depend on beside the containers.
pub(super) struct Progress {
    /// Whether the pod has its sandbox and address.
    pub(super) has_sandbox: bool,
    /// Whether all init containers are done.
    pub(super) initialized: bool,
}

/// What a condition says.
struct Verdict {
    type_: &'static str,
    met: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn met(type_: &'static str) -> Self {
        Self { type_, met: true, reason: None, message: None }
    }

    fn unmet(type_: &'static str, reason: &'static str, message: impl Into<Option<String>>) -> Self {
        Self { type_, met: false, reason: Some(reason), message: message.into() }
    }
}

/// The pod's own conditions; those of others stay in the API untouched.
pub(super) fn of(
    world: &World<'_>,
    views: &Views<'_>,
    status: &PodStatus,
    progress: &Progress,
) -> Vec<PodCondition> {
    let phase = status.phase.as_deref().unwrap_or_default();
    let containers = containers_ready(views, phase);
    let ready = ready(world, &containers);
    let sandbox = Verdict { met: progress.has_sandbox, ..Verdict::met("PodReadyToStartContainers") };
    let generation = world.pod.metadata.generation;
    [sandbox, initialized(world, views, phase, progress), ready, containers, Verdict::met("PodScheduled")]
        .into_iter()
        .map(|verdict| condition(world, verdict, generation))
        .chain(resize(world, views))
        .chain(disruption(world))
        .chain(restarting(world, views, phase))
        .collect()
}

/// What becomes of a wish for other resources; nothing while there is none.
fn resize(world: &World<'_>, views: &Views<'_>) -> impl Iterator<Item = PodCondition> {
    let given = &world.memory.given;
    let pending = given.pending.as_ref().map(|pending| {
        let (reason, message) = (Some(pending.reason), Some(pending.message.clone()));
        condition(world, Verdict { reason, message, ..Verdict::met(RESIZE_PENDING) }, pending.generation)
    });
    let in_progress = resize::is_in_progress(world, views).then(|| {
        let failure = world.memory.resize.failure();
        let (reason, message) = (failure.map(|_| "Error"), failure.map(|failure| failure.message.clone()));
        condition(world, Verdict { reason, message, ..Verdict::met(RESIZE_IN_PROGRESS) }, given.generation)
    });
    pending.into_iter().chain(in_progress)
}

/// That the node ends the pod, for whoever counts such ends.
fn disruption(world: &World<'_>) -> Option<PodCondition> {
    let (reason, message) =
        (Some("TerminationByKubelet"), Some(world.memory.evicted.as_ref()?.message.clone()));
    let verdict = Verdict { reason, message, ..Verdict::met("DisruptionTarget") };
    Some(condition(world, verdict, world.pod.metadata.generation))
}

/// Whether all containers are ended to be begun anew; said of pods to which that may happen.
fn restarting(world: &World<'_>, views: &Views<'_>, phase: &str) -> Option<PodCondition> {
    if !restarts::may_restart_all(world.pod) {
        return None;
    }
    let verdict = match phase {
        "Succeeded" => Verdict::unmet(RESTARTING, "PodCompleted", None),
        "Failed" => Verdict::unmet(RESTARTING, "PodFailed", None),
        _ if rerun::is_wanted(views) => Verdict {
            reason: Some("RestartAllContainersStarted"),
            message: Some("container exited with restart policy rule".to_owned()),
            ..Verdict::met(RESTARTING)
        },
        _ => Verdict { met: false, ..Verdict::met(RESTARTING) },
    };
    Some(condition(world, verdict, world.pod.metadata.generation))
}

fn initialized(world: &World<'_>, views: &Views<'_>, phase: &str, progress: &Progress) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::met("Initialized") };
    }
    // Once it was, it stays so, also while init containers run once more.
    let before = current(Some(&world.memory.reported), "Initialized");
    let was = before.is_some_and(|before| before.status == "True") && restarts::may_restart_all(world.pod);
    if progress.initialized || was {
        return Verdict::met("Initialized");
    }
    let is_complete = |view: &&View<'_>| {
        if view.is_sidecar() { view.is_started() } else { view.exit().is_some_and(|exit| exit.code == 0) }
    };
    let incomplete = names(views.init.iter().filter(|view| !is_complete(view)));
    let message = format!("containers with incomplete status: [{incomplete}]");
    Verdict::unmet("Initialized", "ContainersNotInitialized", message)
}

fn containers_ready(views: &Views<'_>, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::unmet("ContainersReady", "PodCompleted", None),
        "Failed" => return Verdict::unmet("ContainersReady", "PodFailed", None),
        _ => {}
    }
    let sidecars = views.init.iter().filter(|view| view.is_sidecar());
    let unready = names(views.main.iter().chain(sidecars).filter(|view| !view.is_ready()));
    if unready.is_empty() {
        return Verdict::met("ContainersReady");
    }
    Verdict::unmet(
        "ContainersReady",
        "ContainersNotReady",
        format!("containers with unready status: [{unready}]"),
    )
}

fn ready(world: &World<'_>, containers: &Verdict) -> Verdict {
    let verdict = Verdict { type_: "Ready", message: containers.message.clone(), ..*containers };
    if !containers.met {
        return verdict;
    }
    let gates = world.pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_ref());
    let is_met = |gate: &str| current(world.pod.status.as_ref(), gate).is_some_and(|c| c.status == "True");
    let unmet: Vec<String> = gates
        .into_iter()
        .flatten()
        .filter(|gate| !is_met(&gate.condition_type))
        .map(|gate| {
            format!("corresponding condition of pod readiness gate {:?} does not exist.", gate.condition_type)
        })
        .collect();
    if unmet.is_empty() {
        return verdict;
    }
    Verdict::unmet("Ready", "ReadinessGatesNotReady", unmet.join(", "))
}

fn names<'a>(views: impl Iterator<Item = &'a View<'a>>) -> String {
    views.map(|view| view.spec.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn current<'a>(status: Option<&'a PodStatus>, type_: &str) -> Option<&'a PodCondition> {
    status?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}

/// The condition as it is written; its transition time is that of the last change of its status.
fn condition(world: &World<'_>, verdict: Verdict, generation: Option<i64>) -> PodCondition {
    let status = if verdict.met { "True" } else { "False" };
    let before =
        current(Some(&world.memory.reported), verdict.type_).filter(|before| before.status == status);
    let since = before.and_then(|before| before.last_transition_time.clone());
    PodCondition {
        type_: verdict.type_.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.map(str::to_owned),
        message: verdict.message,
        last_transition_time: Some(since.unwrap_or(Time(world.now))),
        observed_generation: generation,
        ..PodCondition::default()
    }
}
