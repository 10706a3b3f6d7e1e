//! A kubelet for many nodes that runs nothing: Pods bound to its nodes become what the test says, at once.
//!
//! Flow: a watch of all Pods and the test's rules feed one task. For each bound Pod it looks at the [`Fate`] the rules
//! give it and writes the status that a kubelet would write; a Pod that is being deleted gets its end and goes, unless
//! the rules let it linger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use wherry_api::clock::{Clock, SystemClock};

/// What becomes of a Pod on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does not start.
    Waiting,
    /// It runs and is not ready.
    Running,
    /// It runs and is ready.
    Ready,
    /// All its containers end with 0.
    Succeeded,
    /// Its containers end with this code.
    Failed(i32),
}

type Rule = Box<dyn Fn(&Pod) -> Option<Fate> + Send + Sync>;
type Lingers = Box<dyn Fn(&Pod) -> bool + Send + Sync>;

/// What the test wants. The latest rule that says something about a Pod holds; without one Pods are ready.
#[derive(Default)]
struct Rules {
    fates: Vec<Rule>,
    lingering: Option<Lingers>,
}

/// See the module's documentation. It stops when it is dropped.
pub(crate) struct Kubelet {
    client: Client,
    rules: Arc<Mutex<Rules>>,
    changed: Arc<Notify>,
    tasks: Mutex<JoinSet<()>>,
}

impl Kubelet {
    pub(crate) fn start(client: Client) -> Self {
        let (rules, changed) = (Arc::new(Mutex::new(Rules::default())), Arc::new(Notify::new()));
        let mut tasks = JoinSet::new();
        let worker = Worker {
            client: client.clone(),
            rules: rules.clone(),
            pods: BTreeMap::new(),
            next_ip: AtomicU16::new(1),
        };
        tasks.spawn(worker.run(changed.clone()));
        Self { client, rules, changed, tasks: Mutex::new(tasks) }
    }

    /// Adds a ready node with room for 500 Pods; `more` is merged into its metadata and spec.
    pub(crate) async fn add_node(&self, name: &str, more: Value) {
        let mut node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
        merge(&mut node, more);
        let nodes = Api::<Node>::all(self.client.clone());
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
        let now = SystemClock.now().to_string();
        let room = json!({"cpu": "100", "memory": "100Gi", "pods": "500", "ephemeral-storage": "100Gi"});
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now,
        });
        let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": [ready]}});
        nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();
        let untaint = json!({"spec": {"taints": more_taints(&nodes.get(name).await.unwrap())}});
        nodes.patch(name, &PatchParams::default(), &Patch::Merge(untaint)).await.unwrap();
        self.tasks.lock().spawn(super::node_lease::renew(self.client.clone(), name.to_owned()));
    }

    /// Decides the fate of the Pods about which `rule` says something.
    pub(crate) fn rule(&self, rule: impl Fn(&Pod) -> Option<Fate> + Send + Sync + 'static) {
        self.rules.lock().fates.push(Box::new(rule));
        self.changed.notify_one();
    }

    /// Decides the fate of the Pod of this name, whatever its uid.
    pub(crate) fn make(&self, name: &str, fate: Fate) {
        let name = name.to_owned();
        self.rule(move |pod| (pod.name_any() == name).then_some(fate));
    }

    /// Decides the fate of this very Pod; one that takes its name later has another.
    pub(crate) fn make_this(&self, pod: &Pod, fate: Fate) {
        let uid = pod.uid();
        self.rule(move |pod| (pod.uid() == uid).then_some(fate));
    }

    /// Pods that are being deleted stay as long as `lingers` says so.
    pub(crate) fn linger(&self, lingers: impl Fn(&Pod) -> bool + Send + Sync + 'static) {
        self.rules.lock().lingering = Some(Box::new(lingers));
        self.changed.notify_one();
    }
}

/// The node's taints without the one that says that it is not ready.
fn more_taints(node: &Node) -> Value {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    json!(taints.filter(|taint| !taint.key.starts_with("node.kubernetes.io/not-ready")).collect::<Vec<_>>())
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

struct Worker {
    client: Client,
    rules: Arc<Mutex<Rules>>,
    pods: BTreeMap<(String, String), Pod>,
    next_ip: AtomicU16,
}

impl Worker {
    async fn run(mut self, changed: Arc<Notify>) {
        let bound = watcher::Config::default().fields("spec.nodeName!=");
        // A cluster that stops refuses at once, again and again; without a wait the test's runtime could not stop.
        let mut events = watcher(Api::<Pod>::all(self.client.clone()), bound).default_backoff().boxed();
        loop {
            let concerned: Vec<Pod> = tokio::select! {
                Some(event) = events.next() => event.ok().and_then(|event| self.observe(event)).into_iter().collect(),
                () = changed.notified() => self.pods.values().cloned().collect(),
            };
            for pod in concerned {
                self.tend(&pod).await;
            }
        }
    }

    fn observe(&mut self, event: Event<Pod>) -> Option<Pod> {
        let key = |pod: &Pod| (pod.namespace().unwrap_or_default(), pod.name_any());
        match event {
            Event::Apply(pod) | Event::InitApply(pod) => {
                self.pods.insert(key(&pod), pod.clone());
                Some(pod)
            }
            Event::Delete(pod) => {
                self.pods.remove(&key(&pod));
                None
            }
            Event::Init | Event::InitDone => None,
        }
    }

    /// Does what a kubelet would do next. What the API refuses is out of date; the next event tells.
    async fn tend(&self, pod: &Pod) {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let is_going = pod.metadata.deletion_timestamp.is_some();
        let (fate, lingers) = {
            let rules = self.rules.lock();
            let said = rules.fates.iter().rev().find_map(|rule| rule(pod));
            (said.unwrap_or(Fate::Ready), rules.lingering.as_ref().is_some_and(|lingers| lingers(pod)))
        };
        if is_going && lingers {
            return;
        }
        // What is told to stop ends by a signal.
        let fate = if is_going && !is_ended(fate) { Fate::Failed(137) } else { fate };
        if let Some(status) = self.status(pod, fate) {
            let patch = Patch::Strategic(json!({ "metadata": { "uid": pod.uid() }, "status": status }));
            drop(pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await);
        }
        if is_going {
            let only_this = Preconditions { uid: pod.uid(), resource_version: None };
            let now = DeleteParams::default().grace_period(0).preconditions(only_this);
            drop(pods.delete(&pod.name_any(), &now).await);
        }
    }

    /// The status to be written, if the Pod does not have it yet. What has ended stays so.
    fn status(&self, pod: &Pod, fate: Fate) -> Option<Value> {
        let status = pod.status.clone().unwrap_or_default();
        let phase = status.phase.as_deref().unwrap_or("Pending");
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        let wanted = match fate {
            Fate::Waiting => "Pending",
            Fate::Running | Fate::Ready => "Running",
            Fate::Succeeded => "Succeeded",
            Fate::Failed(_) => "Failed",
        };
        let is_told = ready.is_some() && is_ready == (fate == Fate::Ready);
        if matches!(phase, "Succeeded" | "Failed") || (phase == wanted && is_told) {
            return None;
        }
        let now = SystemClock.now().to_string();
        let ready = if fate == Fate::Ready { "True" } else { "False" };
        let condition =
            |type_: &str, status: &str| json!({"type": type_, "status": status, "lastTransitionTime": now});
        let names = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
            json!({
                "name": container.name, "image": container.image, "imageID": "", "restartCount": 0,
                "ready": fate == Fate::Ready, "state": state(fate, &now),
            })
        });
        let ip = status.pod_ip.unwrap_or_else(|| {
            let number = self.next_ip.fetch_add(1, Ordering::Relaxed);
            format!("10.1.{}.{}", number / 250, number % 250 + 1)
        });
        Some(json!({
            "phase": wanted, "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
            "conditions": [condition("Initialized", "True"), condition("ContainersReady", ready), condition("Ready", ready)],
            "containerStatuses": names.collect::<Vec<_>>(),
        }))
    }
}

fn is_ended(fate: Fate) -> bool {
    matches!(fate, Fate::Succeeded | Fate::Failed(_))
}

fn state(fate: Fate, now: &str) -> Value {
    let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now}});
    match fate {
        Fate::Waiting => json!({"waiting": {"reason": "ContainerCreating"}}),
        Fate::Running | Fate::Ready => json!({"running": {"startedAt": now}}),
        Fate::Succeeded => ended(0, "Completed"),
        Fate::Failed(code) => ended(code, "Error"),
    }
}
