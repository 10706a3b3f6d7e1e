//! The task that owns all state: it takes in changes, decides, and hands the writes to tasks of their own.
//!
//! Flow: all changes at hand are taken in before the next Pod is decided on. A decision is assumed at once, so the
//! next cycle counts with it while the binding is still on its way.
//!
//! Guarantees: no decision before both lists are complete; a Pod counts against its node from the decision until
//! the API says otherwise or the binding fails.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::runtime::watcher::Event;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cluster::Cluster;
use crate::config::Config;
use crate::cycle::{Decision, Scratch, Unschedulable, histogram, schedule};
use crate::event::Event as Change;
use crate::io::events::{Notice, Recorder};
use crate::io::random::Random;
use crate::io::write;
use crate::plugins::Profile;
use crate::pod::{PodInfo, is_terminal, is_waiting};
use crate::queue::Queue;

/// What the watches report.
pub(crate) enum Input {
    Pod(Box<Event<Pod>>),
    Node(Box<Event<Node>>),
}

/// How a write ended.
enum Written {
    Bound { pod: Arc<PodInfo>, node: String, outcome: Result<(), kube::Error> },
    Condition { pod: Arc<PodInfo>, outcome: Result<(), kube::Error> },
}

/// The objects a list has brought so far, to find those that are gone.
#[derive(Default)]
struct Listing {
    known: HashSet<String>,
    listed: Option<HashSet<String>>,
    is_complete: bool,
}

impl Listing {
    fn saw(&mut self, id: &str) {
        self.known.insert(id.to_owned());
        if let Some(listed) = &mut self.listed {
            listed.insert(id.to_owned());
        }
    }

    /// Ends a list; returns what was known and was not in it.
    fn finish(&mut self) -> Vec<String> {
        self.is_complete = true;
        let listed = self.listed.take().unwrap_or_default();
        self.known.extract_if(|id| !listed.contains(id)).collect()
    }
}

/// See the module's documentation.
pub(crate) struct Scheduler {
    client: Client,
    config: Config,
    recorder: Recorder,
    random: Random,
    cluster: Cluster,
    profile: Profile,
    scratch: Scratch,
    queue: Queue,
    pods: Listing,
    nodes: Listing,
    writes: JoinSet<Written>,
}

impl Scheduler {
    pub(crate) fn new(client: Client, config: Config, recorder: Recorder) -> Self {
        let random = Random::new(config.seed);
        let profile = Profile::new(config.scheduler_name.clone());
        Self {
            client,
            config,
            recorder,
            random,
            cluster: Cluster::default(),
            profile,
            scratch: Scratch::default(),
            queue: Queue::default(),
            pods: Listing::default(),
            nodes: Listing::default(),
            writes: JoinSet::new(),
        }
    }

    /// Works until shutdown, then lets the writes that are under way finish.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            while let Ok(input) = inputs.try_recv() {
                self.take_in(input);
            }
            while let Some(ended) = self.writes.try_join_next() {
                self.written(ended);
            }
            if self.decide_one() {
                continue;
            }
            let due = self.queue.next_due();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(input) = inputs.recv() => self.take_in(input),
                Some(ended) = self.writes.join_next() => self.written(ended),
                () = sleep_until(due) => {}
            }
        }
        while let Some(ended) = self.writes.join_next().await {
            self.written(ended);
        }
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Pod(event) => self.take_in_pod(*event),
            Input::Node(event) => self.take_in_node(*event),
        }
    }

    fn take_in_pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.pods.listed = Some(HashSet::new()),
            Event::InitApply(pod) | Event::Apply(pod) => self.pod_changed(pod),
            Event::InitDone => {
                for uid in self.pods.finish() {
                    self.pod_gone(&uid);
                }
            }
            Event::Delete(pod) => {
                let uid = pod.metadata.uid.unwrap_or_default();
                self.pods.known.remove(&uid);
                self.pod_gone(&uid);
            }
        }
    }

    fn pod_changed(&mut self, mut pod: Pod) {
        pod.metadata.managed_fields = None;
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.pods.saw(&uid);
        if is_terminal(&pod) {
            self.pod_gone(&uid);
            return;
        }
        if is_waiting(&pod, &self.config.scheduler_name) {
            self.queue.set(Arc::new(PodInfo::new(Arc::new(pod))));
            return;
        }
        self.queue.remove(&uid);
        let info = PodInfo::new(Arc::new(pod));
        if let Some(node) = &info.node_name
            && !self.cluster.counts(&info)
            && let Some(change) = self.cluster.set_pod(&info, node)
        {
            self.queue.wake(&change, &self.cluster);
        }
    }

    fn pod_gone(&mut self, uid: &str) {
        self.queue.remove(uid);
        let change = self.cluster.remove_pod(uid);
        self.wake(change);
    }

    fn node_gone(&mut self, name: &str) {
        let change = self.cluster.remove_node(name);
        self.wake(change);
    }

    fn wake(&mut self, change: Option<Change>) {
        if let Some(change) = change {
            self.queue.wake(&change, &self.cluster);
        }
    }

    fn take_in_node(&mut self, event: Event<Node>) {
        match event {
            Event::Init => self.nodes.listed = Some(HashSet::new()),
            Event::InitApply(node) | Event::Apply(node) => self.node_changed(&node),
            Event::InitDone => {
                for name in self.nodes.finish() {
                    self.node_gone(&name);
                }
            }
            Event::Delete(node) => {
                let name = node.metadata.name.unwrap_or_default();
                self.nodes.known.remove(&name);
                self.node_gone(&name);
            }
        }
    }

    fn node_changed(&mut self, node: &Node) {
        self.nodes.saw(node.metadata.name.as_deref().unwrap_or_default());
        let change = self.cluster.set_node(node);
        self.queue.wake(&change, &self.cluster);
    }

    /// Decides on the next Pod; returns whether there was one.
    fn decide_one(&mut self) -> bool {
        if !self.pods.is_complete || !self.nodes.is_complete {
            return false;
        }
        let Some(pod) = self.queue.pop(Instant::now()) else { return false };
        if self.cluster.is_placed(&pod.uid) {
            return true;
        }
        let draw = |bound| self.random.below(bound);
        match schedule(&pod, &mut self.cluster, &self.profile, &mut self.scratch, draw) {
            Ok(decision) => self.place(pod, decision),
            Err(unschedulable) => self.refuse(&pod, &unschedulable),
        }
        true
    }

    fn place(&mut self, pod: Arc<PodInfo>, decision: Decision) {
        let node = self.cluster.node(decision.node).name.clone();
        let change = self.cluster.assume(&pod, decision.node);
        self.queue.wake(&change, &self.cluster);
        let client = self.client.clone();
        self.writes.spawn(async move {
            let outcome = write::bind(client, pod.clone(), node.clone()).await;
            Written::Bound { pod, node, outcome }
        });
    }

    fn refuse(&mut self, pod: &Arc<PodInfo>, unschedulable: &Unschedulable) {
        let preemption = preemption(pod, &self.cluster, unschedulable);
        let preemption = preemption.map(|text| format!(" preemption: {text}")).unwrap_or_default();
        self.note(pod, "Unschedulable", format!("{}{preemption}", unschedulable.message()));
        self.queue.park(&pod.uid, unschedulable.plugins, &self.cluster);
    }

    /// Tells the user why a Pod has no node, by an event and its condition.
    fn note(&mut self, pod: &Arc<PodInfo>, reason: &'static str, message: String) {
        let now = self.config.clock.now();
        let patch = write::unscheduled_patch(&pod.object, reason, &message, now);
        self.recorder.event(&pod.object, Notice { severity: "Warning", reason: "FailedScheduling", message });
        if let Some(patch) = patch {
            let (client, pod) = (self.client.clone(), pod.clone());
            self.writes.spawn(async move {
                let outcome = write::patch_status(client, pod.clone(), patch).await;
                Written::Condition { pod, outcome }
            });
        }
    }

    fn written(&mut self, ended: Result<Written, tokio::task::JoinError>) {
        match ended {
            Ok(Written::Bound { pod, node, outcome: Ok(()) }) => {
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                self.recorder.event(&pod.object, Notice { severity: "Normal", reason: "Scheduled", message });
            }
            Ok(Written::Bound { pod, outcome: Err(error), .. }) => self.binding_failed(&pod, &error),
            Ok(Written::Condition { outcome: Ok(()), .. }) => {}
            Ok(Written::Condition { pod, outcome: Err(error) }) => {
                let error = &error as &dyn std::error::Error;
                debug!(namespace = pod.namespace, pod = pod.name, error, "a condition could not be written");
            }
            Err(error) => warn!(error = &error as &dyn std::error::Error, "a write ended abnormally"),
        }
    }

    /// The Pod is tried again after a while. If the binding did arrive, the watch will have said so by then.
    fn binding_failed(&mut self, pod: &Arc<PodInfo>, error: &kube::Error) {
        let Some(change) = self.cluster.forget(&pod.uid) else { return };
        self.queue.back_off(&pod.uid, Instant::now());
        self.queue.wake(&change, &self.cluster);
        if matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409) {
            debug!(namespace = pod.namespace, pod = pod.name, "the Pod is gone or bound already");
            return;
        }
        warn!(
            namespace = pod.namespace,
            pod = pod.name,
            error = error as &dyn std::error::Error,
            "binding failed"
        );
        let text = match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        };
        self.note(pod, "SchedulerError", format!("binding rejected: {text}"));
    }
}

/// Why ending other Pods would not help; nothing if it would, for that is not done.
fn preemption(pod: &PodInfo, cluster: &Cluster, unschedulable: &Unschedulable) -> Option<String> {
    if unschedulable.nodes == 0 {
        return None;
    }
    if !pod.may_preempt {
        return Some("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let resolvable = &unschedulable.resolvable;
    if resolvable.iter().any(|node| cluster.pods_on(*node).any(|(_, other)| other.priority < pod.priority)) {
        return None;
    }
    let reasons = [
        ("Preemption is not helpful for scheduling", unschedulable.nodes - resolvable.len()),
        ("No preemption victims found for incoming pod", resolvable.len()),
    ];
    let reasons = reasons.into_iter().filter(|(_, count)| *count > 0);
    let reasons = reasons.map(|(text, count)| (text.to_owned(), count)).collect();
    Some(format!("0/{} nodes are available: {}.", unschedulable.nodes, histogram(&reasons)))
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
