//! Where in its life a container is, from what its runtime says and what the API recorded.
//!
//! The runtime is believed first. A container it does not know, although the API says it ran, was lost with an
//! earlier process of the agent (wasm containers live inside it) or was cleaned up after it ended.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use wherry_runtime_api::ContainerState;

use super::allocation::same;
use super::memory::ContainerMemory;
use super::resize;
use super::resources::with_limits_of_pod;
use super::restarts::RestartPolicy;
use super::specs::Role;
use crate::containers::Running;

/// Kubelet's word for a container that vanished.
const LOST: &str = "ContainerStatusUnknown";
const LOST_MESSAGE: &str = "The container could not be located when the pod was terminated";
const LOST_CODE: i32 = 137;

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    /// The exit code.
    pub(super) code: i32,
    /// One word.
    pub(super) reason: String,
    /// A sentence, or empty.
    pub(super) message: String,
    /// When it was started.
    pub(super) started_at: Option<Timestamp>,
    /// When it ended, if that is known.
    pub(super) finished_at: Option<Timestamp>,
    /// `runtime://id`.
    pub(super) container_id: String,
}

impl Exit {
    /// Whether the container vanished instead of ending.
    pub(super) fn is_lost(&self) -> bool {
        self.reason == LOST
    }

    fn lost(container_id: String) -> Self {
        Self {
            code: LOST_CODE,
            reason: LOST.to_owned(),
            message: LOST_MESSAGE.to_owned(),
            started_at: None,
            finished_at: None,
            container_id,
        }
    }

    fn recorded(terminated: &core::ContainerStateTerminated) -> Self {
        Self {
            code: terminated.exit_code,
            reason: terminated.reason.clone().unwrap_or_default(),
            message: terminated.message.clone().unwrap_or_default(),
            started_at: terminated.started_at.as_ref().map(|time| time.0),
            finished_at: terminated.finished_at.as_ref().map(|time| time.0),
            container_id: terminated.container_id.clone().unwrap_or_default(),
        }
    }
}

/// The life of a container's newest attempt.
///
/// ```text
/// Never -> Created -> Alive -> Ended -> (next attempt) Created ...
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// No attempt has been made.
    Never,
    /// Set up, not started.
    Created {
        /// Which attempt.
        attempt: u32,
    },
    /// Its program runs.
    Alive {
        /// Which attempt.
        attempt: u32,
        /// Since when.
        started_at: Timestamp,
    },
    /// It ended.
    Ended {
        /// Which attempt.
        attempt: u32,
        /// How.
        exit: Exit,
    },
}

impl Life {
    /// The newest attempt, which is also the restart count.
    pub(super) fn attempt(&self) -> u32 {
        match self {
            Self::Never => 0,
            Self::Created { attempt } | Self::Alive { attempt, .. } | Self::Ended { attempt, .. } => *attempt,
        }
    }

    /// The attempt a launch would be.
    pub(super) fn next_attempt(&self) -> u32 {
        match self {
            Self::Ended { attempt, .. } => attempt + 1,
            Self::Never | Self::Created { .. } | Self::Alive { .. } => self.attempt(),
        }
    }

    /// Whether the program runs.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self, Self::Alive { .. })
    }

    /// How it ended, if it ended.
    pub(super) fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Ended { exit, .. } => Some(exit),
            Self::Never | Self::Created { .. } | Self::Alive { .. } => None,
        }
    }
}

/// A container of the pod as the planner sees it.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// What is asked for.
    pub(super) spec: Cow<'a, core::Container>,
    /// What it is to its pod.
    pub(super) role: Role,
    /// When it is started again.
    policy: RestartPolicy,
    /// Where the newest attempt is.
    pub(super) life: Life,
    /// How the attempt before it ended.
    pub(super) previous: Option<Exit>,
    /// The newest attempt in its runtime.
    pub(super) newest: Option<&'a Running>,
    /// What the worker remembers.
    pub(super) memory: Option<&'a ContainerMemory>,
    /// What the pod itself was given.
    own: Option<&'a core::ResourceRequirements>,
}

impl<'a> View<'a> {
    /// Joins what is known of one container. `containers` are all of the pod, oldest attempts first.
    pub(super) fn new(
        (role, spec): (Role, Cow<'a, core::Container>),
        (of_pod, own): (RestartPolicy, Option<&'a core::ResourceRequirements>),
        containers: &'a [Running],
        memory: Option<&'a ContainerMemory>,
    ) -> Self {
        let mut attempts = containers.iter().filter(|c| c.status.id.name == spec.name).rev();
        let newest = attempts.next();
        let recorded = memory.and_then(|memory| memory.recorded.as_ref());
        let life = match newest {
            Some(running) => begun(life_of(running, memory), &spec, memory),
            None => recorded.map_or(Life::Never, recorded_life),
        };
        let previous = match newest {
            Some(_) => {
                attempts.next().map(|running| life_of(running, memory)).and_then(|life| life.exit().cloned())
            }
            None => None,
        };
        let previous = previous.or_else(|| recorded_before(recorded?, &life, newest.is_some()));
        let policy = RestartPolicy::of_container(&spec, role, of_pod);
        Self { spec, role, policy, life, previous, newest, memory, own }
    }

    /// Whether the program runs and has passed its startup probe.
    pub(super) fn is_started(&self) -> bool {
        self.life.is_alive()
            && (self.spec.startup_probe.is_none() || self.probes().is_some_and(|p| p.started))
    }

    /// Whether it serves.
    pub(super) fn is_ready(&self) -> bool {
        self.is_started() && (self.spec.readiness_probe.is_none() || self.probes().is_some_and(|p| p.ready))
    }

    /// What the probes found about the newest attempt.
    pub(super) fn probes(&self) -> Option<&super::memory::ProbeView> {
        self.memory.map(|memory| &memory.probes).filter(|probes| probes.attempt == self.life.attempt())
    }

    /// Whether it is an init container that runs beside the others.
    pub(super) fn is_sidecar(&self) -> bool {
        self.role == Role::Init && self.policy == RestartPolicy::Always
    }

    /// Whether such an exit is followed by another attempt.
    pub(super) fn restarts(&self, code: i32) -> bool {
        self.is_replaced() || self.awaits_rerun() || self.policy.restarts(&self.spec, code)
    }

    /// How the newest attempt ended, if it is one since all containers of the pod were last begun anew.
    pub(super) fn exit(&self) -> Option<&Exit> {
        self.life.exit().filter(|_| !self.awaits_rerun())
    }

    /// Whether all it ever did was before all containers of the pod were last begun anew.
    pub(super) fn awaits_rerun(&self) -> bool {
        let before = self.memory.and_then(|memory| memory.before_rerun);
        matches!(self.life, Life::Ended { attempt, .. } if before.is_some_and(|before| attempt <= before))
    }

    /// Whether it was stopped to be followed by an attempt with another image.
    pub(super) fn is_replaced(&self) -> bool {
        self.memory.and_then(|memory| memory.replaced) == Some(self.life.attempt())
    }

    /// The image of the newest attempt, if there was one, else that of the first.
    pub(super) fn image(&self) -> &str {
        let asked = self.spec.image.as_deref().unwrap_or_default();
        self.memory
            .map(|memory| memory.launched_image.as_str())
            .filter(|image| !image.is_empty())
            .unwrap_or(asked)
    }

    /// What it was given, by itself or by its pod.
    fn given(&self) -> Cow<'_, core::ResourceRequirements> {
        with_limits_of_pod(self.spec.resources.as_ref(), self.own)
    }

    /// What its program has, while it runs; with the limits of its pod, where it has none of its own.
    pub(super) fn applied(&self) -> Option<&core::ResourceRequirements> {
        let applied = self.memory?.applied.as_ref().filter(|(attempt, _)| *attempt == self.life.attempt())?;
        self.life.is_alive().then_some(&applied.1)
    }

    /// The same, without what it has only of its pod.
    pub(super) fn applied_of_own(&self) -> Option<Cow<'_, core::ResourceRequirements>> {
        let applied = self.applied()?;
        let own = self.spec.resources.as_ref().and_then(|said| said.limits.as_ref());
        let is_own = |name: &String| own.is_some_and(|own| own.contains_key(name));
        let limits = applied.limits.iter().flatten();
        if self.own.is_none() || limits.clone().all(|(name, _)| is_own(name)) {
            return Some(Cow::Borrowed(applied));
        }
        let said: BTreeMap<_, _> = limits
            .filter(|(name, _)| is_own(name))
            .map(|(name, limit)| (name.clone(), limit.clone()))
            .collect();
        let limits = Some(said).filter(|said| !said.is_empty());
        Some(Cow::Owned(core::ResourceRequirements { limits, ..applied.clone() }))
    }

    /// Whether it runs with something else than it was given.
    pub(super) fn is_resized(&self) -> bool {
        self.applied().is_some_and(|applied| !same(applied, &self.given()))
    }

    /// Whether it is to be started again to have what it was given.
    pub(super) fn wants_restart(&self) -> bool {
        self.applied().is_some_and(|applied| resize::wants_restart(&self.spec, applied, &self.given()))
    }

    /// Whether it runs another image than it is to.
    pub(super) fn is_outdated(&self) -> bool {
        self.image() != self.spec.image.as_deref().unwrap_or_default()
    }
}

/// `runtime://id`, as container statuses show it.
pub(crate) fn container_id(running: &Running) -> String {
    format!("{}://{}", running.handler, running.status.id)
}

fn life_of(running: &Running, memory: Option<&ContainerMemory>) -> Life {
    let attempt = running.status.id.attempt;
    match &running.status.state {
        ContainerState::Created => Life::Created { attempt },
        ContainerState::Running { started_at } => Life::Alive { attempt, started_at: *started_at },
        ContainerState::Exited { started_at, finished_at, code, reason, message } => {
            let left = memory.and_then(|memory| memory.termination_messages.get(&attempt)?.as_ref());
            let exit = Exit {
                code: *code,
                reason: reason.as_str().to_owned(),
                message: left.unwrap_or(message).clone(),
                started_at: *started_at,
                finished_at: Some(*finished_at),
                container_id: container_id(running),
            };
            Life::Ended { attempt, exit }
        }
    }
}

/// A container whose postStart hook runs has not started yet, whatever its program does.
fn begun(life: Life, spec: &core::Container, memory: Option<&ContainerMemory>) -> Life {
    let hooked = spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some());
    let launching = |attempt: u32| {
        memory.is_some_and(|memory| memory.launch.is_busy() && memory.launch_attempt == attempt)
    };
    match life {
        Life::Alive { attempt, .. } if hooked && launching(attempt) => Life::Created { attempt },
        life => life,
    }
}

/// The life the API recorded of a container its runtime does not know.
fn recorded_life(recorded: &core::ContainerStatus) -> Life {
    let attempt = u32::try_from(recorded.restart_count).unwrap_or(0);
    let ended = |exit| Life::Ended { attempt, exit };
    let last = recorded.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    match recorded.state.as_ref() {
        Some(core::ContainerState { running: Some(_), .. }) => {
            ended(Exit::lost(recorded.container_id.clone().unwrap_or_default()))
        }
        Some(core::ContainerState { terminated: Some(terminated), .. }) => ended(Exit::recorded(terminated)),
        _ => last.map_or(Life::Never, |last| ended(Exit::recorded(last))),
    }
}

/// How the attempt before ended, as far as the API recorded it.
fn recorded_before(recorded: &core::ContainerStatus, life: &Life, in_runtime: bool) -> Option<Exit> {
    let recorded_attempt = u32::try_from(recorded.restart_count).unwrap_or(0);
    if in_runtime && life.attempt() == recorded_attempt + 1 {
        return recorded_life(recorded).exit().cloned();
    }
    let last = recorded.last_state.as_ref().and_then(|state| state.terminated.as_ref()).map(Exit::recorded);
    last.filter(|exit| life.attempt() == recorded_attempt && life.exit() != Some(exit))
}
