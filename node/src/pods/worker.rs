//! The worker of one pod: observes, plans, applies, sleeps until something happens.
//!
//! # Flow
//! ```text
//! woken -> learn (results, probes, references) -> plan -> report status -> start steps -> sleep
//! ```
//! # Guarantees
//! - The worker itself never waits for a step: steps run beside it and wake it when they end.
//! - It sleeps until it is woken or the plan's time comes; a pod that is settled costs nothing.
//! - It ends when the Pod object is gone and everything of the pod was given back.

mod resizing;

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use wherry_runtime_api::{ContainerId, ContainerState};

use super::admitting::{self, Admittance};
use super::backoff::{retry_delay, setup_delay};
use super::jobs::{self, Done, VolumeRefusal};
use super::memory::{
    ContainerMemory, Failure, Look, Memory, PodNetworking, PreparedImage, Shown, Step, StopOrder, Why,
};
use super::plan::{Action, NodeFacts, Plan, Views, World, plan};
use super::probing::{ProbeReport, Probing, note};
use super::writer::{Decision, StatusWriter, as_told, revision};
use super::{Desired, allocation, image_job, last_words, launch, resources, specs, storage, transitions};
use crate::containers::Running;
use crate::context::{Context, chain};
use crate::events::{Happening, Severity};
use crate::eviction::Eviction;
use crate::probes::Finding;
use crate::wakers::Waker;

/// The worker of one pod.
pub(super) struct Worker {
    ctx: Arc<Context>,
    node: NodeFacts,
    uid: String,
    desired: watch::Receiver<Desired>,
    waker: Arc<Waker>,
    memory: Memory,
    writer: StatusWriter,
    jobs: JoinSet<Option<Done>>,
    probing: Probing,
    reports: mpsc::UnboundedReceiver<ProbeReport>,
    /// Cancelled when the pod ends, so that pulls under way are given up.
    ending: CancellationToken,
}

impl Worker {
    /// A worker for the pod; its probes run on `tasks`.
    pub(super) fn new(ctx: Arc<Context>, desired: watch::Receiver<Desired>, tasks: TaskTracker) -> Self {
        let pod = desired.borrow().pod.clone();
        let uid = jobs::uid(&pod).to_owned();
        let mut memory = Memory::recall(&pod, ctx.clock.now());
        memory.admittance = Admittance::begin(&ctx, &pod, &uid);
        ctx.managers.goes_on(&uid);
        let (probing, reports) = Probing::new(&uid, &ctx, tasks);
        let node = NodeFacts {
            host_ips: ctx.host_ips.clone(),
            has_namespaces: ctx.has_namespaces,
            admission: ctx.admission.clone(),
            endpoint_drain: ctx.endpoint_drain,
        };
        Self {
            waker: ctx.wakers.register(&uid),
            writer: StatusWriter::new(&uid, pod.status.clone().unwrap_or_default()),
            jobs: JoinSet::new(),
            ending: CancellationToken::new(),
            ctx,
            node,
            uid,
            desired,
            memory,
            probing,
            reports,
        }
    }

    /// Works until the pod is gone or `shutdown`; what the pod was at last.
    pub(super) async fn run(mut self, shutdown: CancellationToken) -> Arc<Pod> {
        loop {
            let plan = self.turn();
            if plan.finished {
                break;
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.desired.changed() => if changed.is_err() { break },
                () = self.waker.woken() => {}
                Some(job) = self.jobs.join_next() => self.joined(job),
                Some(report) = self.reports.recv() => self.probed(&report),
                () = sleep_until(&self.ctx, plan.wake_at) => {}
            }
            self.collect();
        }
        self.ctx.wakers.unregister(&self.uid);
        self.ctx.objects.release(&self.uid);
        self.ctx.tokens.release(&self.uid);
        self.ctx.trust_bundles.release(&self.uid);
        self.ctx.pod_certificates.release(&self.uid);
        self.ctx.allocations.release(&self.uid);
        self.ctx.evictions.release(&self.uid);
        self.ctx.probe_tallies.release(&self.uid);
        self.desired.borrow().pod.clone()
    }

    /// Takes everything else that is already there, so that one plan serves all of it.
    fn collect(&mut self) {
        while let Some(job) = self.jobs.try_join_next() {
            self.joined(job);
        }
        while let Ok(report) = self.reports.try_recv() {
            self.probed(&report);
        }
        if self.waker.take_references_changed() {
            self.references_changed();
        }
    }

    fn turn(&mut self) -> Plan {
        let now = self.ctx.clock.now();
        let desired = self.desired.borrow_and_update().clone();
        let object = desired.object().filter(|_| !desired.gone).cloned();
        let Desired { pod, gone, .. } = desired;
        let pod = self.give(pod, gone);
        self.memory.evicted = self.memory.evicted.take().or_else(|| self.ctx.evictions.of(&self.uid));
        self.show(&pod);
        let containers = self.ctx.containers.of_pod(&self.uid);
        self.read_termination_messages(&pod, &containers);
        let world =
            World { pod: &pod, gone, containers: &containers, memory: &self.memory, node: &self.node, now };
        let mut plan = plan(&world);
        let ip = self.memory.network.done().map(|network| network.ip);
        let views = Views::new(&world);
        let rejection = admitting::rejection(&world, &views);
        // Readiness and liveness of what is being ended are nobody's concern.
        self.probing.reconcile(views.all().filter(|_| !plan.ending), ip, now);
        for happening in transitions::events(&pod, rejection, &self.memory.reported, &plan.status) {
            self.ctx.events.pod(&pod, happening);
        }
        self.memory.reported = plan.status.clone();
        if plan.ending {
            self.ending.cancel();
            self.memory.ending_since.get_or_insert(now);
        }
        if let Some(object) = &object {
            self.report(object, &mut plan, now);
        }
        self.allocate(&pod);
        self.apply(&pod, &mut plan, now);
        let is_told = object.is_none() || self.writer.is_settled(&plan.status);
        if is_told && self.memory.teardown.done().is_some() {
            self.ctx.evictions.over(&self.uid);
        }
        plan
    }

    /// Has the status of the API's object written, now or later.
    fn report(&mut self, object: &Arc<Pod>, plan: &mut Plan, now: Timestamp) {
        self.writer.turn_to(object);
        self.writer.hear(object);
        match self.writer.decide(&plan.status, now) {
            Decision::Settled | Decision::Wait => {}
            Decision::Later(at) => plan.wake(at),
            Decision::Write(patch) => {
                let write = write_status(self.ctx.clone(), object.clone(), plan.status.clone(), patch);
                self.jobs.spawn(async move { Some(write.await) });
            }
        }
    }

    fn apply(&mut self, pod: &Arc<Pod>, plan: &mut Plan, now: Timestamp) {
        for action in std::mem::take(&mut plan.actions) {
            // The Pod is deleted after everybody could see how it ended.
            if action == Action::DeletePod && !self.writer.is_settled(&plan.status) {
                continue;
            }
            if action == Action::TearDown {
                self.memory.final_status.get_or_insert_with(|| plan.status.clone());
            }
            self.start(pod, action, now);
        }
    }

    fn start(&mut self, pod: &Arc<Pod>, action: Action, now: Timestamp) {
        let (ctx, pod) = (self.ctx.clone(), pod.clone());
        match action {
            Action::Admit => {
                self.memory.admittance = Admittance::Asked;
                let ending = self.ending.clone();
                self.jobs.spawn(async move { Some(admitting::run(ctx, pod, ending).await) });
            }
            Action::MountVolumes => {
                self.memory.volumes = Step::Busy;
                self.mount_volumes(pod);
            }
            Action::RefreshVolumes => self.mount_volumes(pod),
            Action::SetUpNetwork { netns } => {
                self.memory.network = Step::Busy;
                self.jobs.spawn(async move { Some(jobs::set_up_network(ctx, pod, netns).await) });
            }
            Action::EnsureImage { container, attempt } => self.ensure_image(pod, container, attempt),
            Action::Launch { container, attempt, after } => {
                if let Some(finished_at) = after {
                    let longest = ctx.max_container_restart_period;
                    self.memory.container(&container).restarting(attempt, finished_at, now, longest);
                }
                self.launch(pod, container, attempt);
            }
            Action::Stop { ref id, grace, ref why, .. } => {
                let kill_at = super::backoff::later(now, grace);
                let memory = self.memory.container(&id.name);
                memory.stop = Some(StopOrder { id: id.clone(), kill_at, retry_at: None });
                if matches!(why, Why::Changed | Why::Resized) {
                    memory.replaced = Some(id.attempt);
                }
                self.jobs.spawn(jobs::stop(ctx, pod, action));
            }
            Action::Rerun(attempts) => {
                for (name, attempt) in attempts {
                    self.memory.container(&name).before_rerun = Some(attempt);
                }
            }
            Action::Resize { containers, narrows } => self.resize(&pod, containers, narrows),
            Action::MeasureStorage { containers } => {
                self.memory.storage = Look::Busy;
                self.jobs.spawn(storage::measure(ctx, pod, containers));
            }
            Action::Remove { id, handler } => {
                self.memory.removing.insert(id.clone());
                self.jobs.spawn(async move { Some(jobs::remove(ctx, pod, id, handler).await) });
            }
            Action::TearDown => {
                self.memory.teardown = Step::Busy;
                self.ctx.managers.ends(&self.uid);
                let uid = self.uid.clone();
                self.jobs.spawn(async move { Some(Done::TornDown(jobs::tear_down(&ctx, &uid).await)) });
            }
            Action::DeletePod => {
                self.memory.deletion = Step::Busy;
                self.jobs.spawn(async move { Some(jobs::delete_pod(ctx, pod).await) });
            }
        }
    }

    /// One set-up at a time: two would write the same files.
    fn mount_volumes(&mut self, pod: Arc<Pod>) {
        if std::mem::replace(&mut self.memory.volumes_busy, true) {
            self.memory.volumes_outdated = true;
            return;
        }
        let ips = self.memory.network.done().map(PodNetworking::ips).unwrap_or_default();
        let (ctx, before) = (self.ctx.clone(), self.memory.volumes.done().cloned());
        let ending = self.ending.clone();
        self.jobs.spawn(async move { Some(jobs::mount_volumes(ctx, pod, ips, before, ending).await) });
    }

    fn ensure_image(&mut self, pod: Arc<Pod>, container: String, attempt: u32) {
        let memory = self.memory.container(&container);
        (memory.image, memory.image_attempt) = (Step::Busy, attempt);
        let (ctx, ending) = (self.ctx.clone(), self.ending.clone());
        self.jobs.spawn(async move {
            let spec = specs::find_container(&pod, &container)?;
            let result = ending.run_until_cancelled(image_job::run(&ctx, &pod, &spec)).await;
            Some(Done::Image { container, attempt, result })
        });
    }

    fn launch(&mut self, pod: Arc<Pod>, container: String, attempt: u32) {
        let (volumes, network) = (self.memory.volumes.done().cloned(), self.memory.network.done().cloned());
        let limits = self.spanned(&pod);
        let own = allocation::own_of(&pod).cloned();
        if !self.ctx.containers.of_pod(&self.uid).iter().any(Running::is_running) {
            self.memory.own_applied.clone_from(&own);
        }
        let memory = self.memory.container(&container);
        let image = memory.image.done().cloned();
        // The planner asks for a launch only when all three are there.
        let (Some(volumes), Some(mut network), Some(image)) = (volumes, network, image) else { return };
        network.sandbox.resources = limits;
        (memory.launch, memory.launch_attempt) = (Step::Busy, attempt);
        let spec = specs::find_container(&pod, &container);
        let said = spec.as_ref().and_then(|spec| spec.resources.as_ref());
        let given = resources::with_limits_of_pod(said, own.as_ref()).into_owned();
        memory.applied = Some((attempt, given));
        memory.launched_image = spec.and_then(|spec| spec.image.clone()).unwrap_or_default();
        let ending = self.ending.clone();
        let order = launch::Order { pod, container, attempt, image, volumes, network, ending };
        let ctx = self.ctx.clone();
        self.jobs.spawn(async move { Some(Box::pin(jobs::launch(ctx, order)).await) });
    }

    /// Files that show the pod follow its changes, and containers that could not be made for what it was are tried again.
    fn show(&mut self, pod: &Arc<Pod>) {
        let shown = Shown::of(pod);
        if shown == self.memory.shown {
            return;
        }
        self.memory.shown = shown;
        if self.memory.volumes.done().is_none_or(|volumes| volumes.shows_pod) {
            self.refresh_volumes(pod.clone());
        }
        self.retry_configurations();
    }

    /// An object the pod refers to changed: files are written again, and what failed for its lack is tried again.
    fn references_changed(&mut self) {
        let pod = self.desired.borrow().pod.clone();
        self.refresh_volumes(pod);
        self.retry_configurations();
    }

    fn refresh_volumes(&mut self, pod: Arc<Pod>) {
        match &mut self.memory.volumes {
            Step::Done(_) | Step::Busy if self.memory.ending_since.is_none() => self.mount_volumes(pod),
            Step::Failed(failure) => failure.retry_at = Timestamp::MIN,
            Step::Idle | Step::Done(_) | Step::Busy => {}
        }
    }

    fn retry_configurations(&mut self) {
        for memory in self.memory.containers.values_mut() {
            if let Step::Failed(failure) = &mut memory.launch
                && failure.reason == "CreateContainerConfigError"
            {
                failure.retry_at = Timestamp::MIN;
            }
        }
    }

    /// Reads what containers that ended left behind.
    fn read_termination_messages(&mut self, pod: &Pod, containers: &[Running]) {
        let place = last_words::Place { pod_dir: self.ctx.volumes.pod_dir(&self.uid), logs: &self.ctx.logs };
        for running in containers {
            let id = &running.status.id;
            let ContainerState::Exited { code, .. } = running.status.state else { continue };
            let read = &mut self.memory.container(&id.name).termination_messages;
            if let Entry::Vacant(unread) = read.entry(id.attempt) {
                unread.insert(place.read(pod, id, code));
            }
        }
    }

    fn probed(&mut self, report: &ProbeReport) {
        let pod = self.desired.borrow().pod.clone();
        if let Finding::Unhealthy(message) = &report.finding {
            let field_path = specs::field_path(&pod, &report.container);
            let message = message.clone();
            let happening =
                Happening { field_path, severity: Severity::Warning, reason: "Unhealthy", message };
            self.ctx.events.pod(&pod, happening);
        }
        note(self.memory.container(&report.container), &pod, report);
    }

    fn joined(&mut self, job: Result<Option<Done>, tokio::task::JoinError>) {
        match job {
            Ok(Some(done)) => self.done(done),
            Ok(None) => {}
            Err(error) => warn!(pod = %self.uid, error = %error, "a step of a pod was lost"),
        }
    }

    fn done(&mut self, done: Done) {
        let now = self.ctx.clock.now();
        let memory = &mut self.memory;
        match done {
            Done::Admitted(answer) => memory.admittance = Admittance::answered(answer),
            Done::Volumes(result) => self.volumes_done(result, now),
            Done::Network(Ok(network)) => {
                (memory.network, memory.network_failures) = (Step::Done(*network), 0);
            }
            Done::Network(Err(failure)) => {
                let (reason, message) = &failure;
                self.tell(Severity::Warning, reason, message.clone());
                let failures = self.memory.network_failures;
                self.memory.network = Failure::after(Some(failures), failure, now, setup_delay);
                self.memory.network_failures += 1;
            }
            Done::Image { container, attempt, result } => {
                let memory = memory.container(&container);
                if memory.image_attempt == attempt {
                    memory.image_done(result, now);
                }
            }
            Done::Launch { container, attempt, result } => {
                let memory = memory.container(&container);
                if memory.launch_attempt == attempt {
                    memory.launch_done(result, now);
                }
            }
            Done::Stopped(id, result) => memory.container(&id.name).stop_done(&id, result, now),
            Done::Resized { applied, result } => self.resized(applied, result, now),
            Done::Storage(usage) => {
                let pod = self.desired.borrow().pod.clone();
                let excess = storage::excess(&pod, &usage);
                let (reason, grace) = (Eviction::EVICTED, Eviction::AT_ONCE);
                let evict = |message| Eviction { reason, message, grace };
                memory.evicted = memory.evicted.take().or(excess.map(evict));
                memory.storage = Look::Next(super::backoff::later(now, storage::LOOKS_EVERY));
            }
            Done::Removed(id) => drop(memory.removing.remove(&id)),
            Done::TornDown(Ok(())) => memory.teardown = Step::Done(()),
            Done::TornDown(Err(message)) => {
                warn!(pod = %self.uid, error = message, "cannot tear a pod down yet");
                let failures = memory.teardown_failures;
                memory.teardown =
                    Failure::after(Some(failures), ("FailedKillPod", message), now, setup_delay);
                memory.teardown_failures += 1;
            }
            Done::Deleted(Ok(())) => memory.deletion = Step::Done(()),
            Done::Deleted(Err(message)) => {
                warn!(pod = %self.uid, error = message, "cannot delete pod");
                memory.deletion = Failure::after(None, ("FailedDelete", message), now, setup_delay);
            }
            Done::Status(status, result) => {
                if let Err(error) = &result {
                    info!(pod = %self.uid, error = %chain(error), "cannot write pod status");
                }
                self.writer.done(*status, &result, now);
            }
        }
    }

    fn volumes_done(&mut self, result: Result<Arc<crate::volumes::Volumes>, VolumeRefusal>, now: Timestamp) {
        self.memory.volumes_busy = false;
        if std::mem::take(&mut self.memory.volumes_outdated) {
            let pod = self.desired.borrow().pod.clone();
            self.mount_volumes(pod);
        }
        match result {
            Ok(volumes) => (self.memory.volumes, self.memory.volume_failures) = (Step::Done(volumes), 0),
            Err(VolumeRefusal { refusal, image_of }) => {
                if image_of.is_none() {
                    self.tell(Severity::Warning, refusal.0, refusal.1.clone());
                }
                // Registries are not asked more often than for a container's image.
                let delay = if image_of.is_some() { retry_delay } else { setup_delay };
                self.memory.image_volume = image_of;
                let failures = self.memory.volume_failures;
                self.memory.volume_failures += 1;
                self.memory.volumes = match self.memory.volumes.done() {
                    // Files written before stay as they are when their source goes away.
                    Some(volumes) => {
                        let retry_at = super::backoff::later(now, setup_delay(failures + 1));
                        Step::Done(Arc::new(volumes.refreshed_later(retry_at)))
                    }
                    None => Failure::after(Some(failures), refusal, now, delay),
                };
            }
        }
    }

    fn tell(&self, severity: Severity, reason: &'static str, message: String) {
        let pod = self.desired.borrow().pod.clone();
        self.ctx.events.pod(&pod, Happening::of_pod(severity, reason, message));
    }
}

impl ContainerMemory {
    /// Notes a restart once, however often its launch is tried.
    fn restarting(&mut self, attempt: u32, finished_at: Timestamp, now: Timestamp, longest: Duration) {
        if self.launch_attempt != attempt {
            self.backoff.advance(finished_at, now, longest);
        }
    }

    fn stop_done(&mut self, id: &ContainerId, result: Result<(), String>, now: Timestamp) {
        match result {
            Ok(()) => drop(self.stop.take_if(|stop| stop.id == *id)),
            Err(error) => {
                warn!(container = %id, error, "cannot stop container");
                if let Some(stop) = self.stop.as_mut().filter(|stop| stop.id == *id) {
                    stop.retry_at = Some(super::backoff::later(now, setup_delay(2)));
                }
            }
        }
    }

    fn image_done(&mut self, result: Option<Result<Arc<PreparedImage>, jobs::Refusal>>, now: Timestamp) {
        match result {
            None => self.image = Step::Idle,
            Some(Ok(image)) => {
                self.image_id.clone_from(&image.image_id);
                (self.image, self.image_failures) = (Step::Done(image), 0);
            }
            Some(Err(refusal)) => {
                self.image = Failure::after(Some(self.image_failures), refusal, now, retry_delay);
                self.image_failures += 1;
            }
        }
    }

    fn launch_done(&mut self, result: Result<(), jobs::Refusal>, now: Timestamp) {
        match result {
            Ok(()) => (self.launch, self.launch_failures, self.launched_at) = (Step::Done(()), 0, now),
            Err(refusal) => {
                self.launch = Failure::after(Some(self.launch_failures), refusal, now, retry_delay);
                self.launch_failures += 1;
            }
        }
    }
}

async fn write_status(ctx: Arc<Context>, pod: Arc<Pod>, status: PodStatus, patch: Value) -> Done {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), jobs::namespace(&pod));
    let params = PatchParams { field_manager: Some("kubelet".to_owned()), ..PatchParams::default() };
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let result = api.patch_status(name, &params, &Patch::Strategic(patch)).await;
    match result {
        Ok(written) => {
            let status = as_told(status, written.status.as_ref().unwrap_or(&PodStatus::default()));
            Done::Status(Box::new(status), Ok(revision(&written)))
        }
        Err(error) => Done::Status(Box::new(status), Err(error)),
    }
}

/// Sleeps until the time comes; forever without one.
async fn sleep_until(ctx: &Context, at: Option<Timestamp>) {
    match at {
        Some(at) => {
            let wait = at.duration_since(ctx.clock.now());
            tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
        }
        None => std::future::pending().await,
    }
}
