//! Which probes run: those of running containers, readiness and liveness after startup.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use wherry_wasm_runtime::Listening;

use super::life::{Life, View};
use super::memory::{ContainerMemory, ProbeKill, ProbeView};
use crate::commands::Commands;
use crate::context::Context;
use crate::probes::{Finding, Place, Probe, ProbeKind, Tallies, Target, watch};
use crate::runtimes::Runtimes;

/// What a probe of one attempt at a container found.
pub(super) struct ProbeReport {
    /// The container.
    pub(super) container: String,
    /// The attempt.
    pub(super) attempt: u32,
    /// Which probe.
    pub(super) kind: ProbeKind,
    /// What it found.
    pub(super) finding: Finding,
}

type Key = (String, u32, ProbeKind);

/// The running probes of one pod.
pub(super) struct Probing {
    uid: String,
    tallies: Tallies,
    runtimes: Runtimes,
    listening: Listening,
    tasks: TaskTracker,
    reports: mpsc::UnboundedSender<ProbeReport>,
    running: BTreeMap<Key, DropGuard>,
}

impl Probing {
    /// No probes of the pod yet; those to come run on `tasks` and report to the receiver.
    pub(super) fn new(
        uid: &str,
        ctx: &Context,
        tasks: TaskTracker,
    ) -> (Self, mpsc::UnboundedReceiver<ProbeReport>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        let (uid, tallies, runtimes) = (uid.to_owned(), ctx.probe_tallies.clone(), ctx.runtimes.clone());
        let listening = ctx.in_process.listening.clone();
        (Self { uid, tallies, runtimes, listening, tasks, reports, running: BTreeMap::new() }, receiver)
    }

    /// Starts probes that should run and ends those that should not.
    pub(super) fn reconcile<'a>(
        &mut self,
        views: impl Iterator<Item = &'a View<'a>>,
        pod_ip: Option<std::net::IpAddr>,
        now: Timestamp,
    ) {
        let mut wanted = BTreeMap::new();
        for view in views {
            let (Life::Alive { attempt, started_at }, Some(running)) = (&view.life, view.newest) else {
                continue;
            };
            for kind in ProbeKind::ALL {
                let applies = match kind {
                    ProbeKind::Startup => !view.is_started(),
                    ProbeKind::Readiness | ProbeKind::Liveness => view.is_started(),
                };
                // A probe that cannot be parsed kept its container from being launched.
                if applies && let Ok(Some(probe)) = Probe::parse(&view.spec, kind) {
                    let is_ready = view.probes().is_some_and(|probes| probes.ready);
                    let key = (view.spec.name.clone(), *attempt, kind);
                    wanted.insert(key, (probe, *started_at, is_ready, running));
                }
            }
        }
        self.running.retain(|key, _| wanted.contains_key(key));
        let Some(ip) = pod_ip else { return };
        for (key, (probe, started_at, is_ready, running)) in wanted {
            if !self.running.contains_key(&key) {
                let running_for = now.duration_since(started_at).unsigned_abs();
                let commands = Commands::of(&self.runtimes, running);
                let tally = self.tallies.of(&self.uid, &key.0, key.2);
                let place = Place { ip, commands, listening: self.listening.clone() };
                let target = Target { place, running_for, is_ready, tally };
                let guard = self.start(&key, probe, target);
                self.running.insert(key, guard);
            }
        }
    }

    fn start(&self, (container, attempt, kind): &Key, probe: Probe, target: Target) -> DropGuard {
        let stop = CancellationToken::new();
        let reports = self.reports.clone();
        let (container, attempt, kind) = (container.clone(), *attempt, *kind);
        let task = watch(probe, target, move |finding| {
            // Nobody listens any more when the worker has ended.
            let _ended = reports.send(ProbeReport { container: container.clone(), attempt, kind, finding });
        });
        let stopped = stop.clone();
        self.tasks.spawn(async move { stopped.run_until_cancelled(task).await });
        stop.drop_guard()
    }
}

/// Notes a verdict. An unhealthy look alone changes nothing.
pub(super) fn note(memory: &mut ContainerMemory, pod: &Pod, report: &ProbeReport) {
    if memory.probes.attempt != report.attempt {
        memory.probes = ProbeView { attempt: report.attempt, ..ProbeView::default() };
    }
    let probes = &mut memory.probes;
    let succeeds = match report.finding {
        Finding::Succeeds => true,
        Finding::Fails => false,
        Finding::Unhealthy(_) => return,
    };
    match (report.kind, succeeds) {
        (ProbeKind::Startup, true) => probes.started = true,
        (ProbeKind::Readiness, succeeds) => probes.ready = succeeds,
        (ProbeKind::Liveness, true) => probes.kill = None,
        (ProbeKind::Startup | ProbeKind::Liveness, false) => {
            let container = super::specs::find_container(pod, &report.container);
            let probe = container.as_ref().and_then(|container| report.kind.of(container));
            let grace = probe.and_then(|probe| probe.termination_grace_period_seconds);
            let word = if report.kind == ProbeKind::Startup { "startup" } else { "liveness" };
            probes.kill = Some(ProbeKill { probe: word, grace });
        }
    }
}
