//! Nodes: they take Pods that are bound to nobody, run them, and lose them.
//!
//! Flow: the store's events show each Pod; for each a node does the one next thing after a while, then looks again. What
//! was a long time ago in the simulation is what the Pod says, so a node that was lost goes on where it was.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use wherry_api::clock::Clock as _;

use crate::cluster::{Caller, Cluster, NAMESPACE};
use crate::network::Weather;
use crate::object::{is_finished, is_terminating, is_true, text, uid};
use crate::random::Random;

/// Where Pods are in the store. Nobody else may watch just this prefix: who is woken first of several is left to chance.
const PODS: &str = "/registry/pods/sim/";
/// How often a node says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long the controllers wait for that.
pub(crate) const GRACE: Duration = Duration::from_secs(90);

/// All nodes of a simulation.
#[derive(Clone)]
pub(crate) struct Nodes {
    cluster: Cluster,
    caller: Caller,
    random: Random,
    weather: Weather,
    names: Arc<Vec<String>>,
    lost: Arc<Mutex<BTreeSet<String>>>,
    /// Whether Pods stay as they are once they are ready.
    gentle: bool,
}

/// The next thing to be done with a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Bind,
    Start,
    BecomeReady,
    Waver,
    Fail,
    Finish,
    Remove,
}

impl Nodes {
    /// So many nodes; to be [`Nodes::join`]ed.
    pub(crate) fn new(cluster: &Cluster, random: Random, weather: Weather, count: u64, gentle: bool) -> Self {
        let names = (0..count).map(|number| format!("node-{number}")).collect();
        let (cluster, caller) = (cluster.clone(), cluster.caller());
        Self { cluster, caller, random, weather, names: Arc::new(names), lost: Arc::default(), gentle }
    }

    /// Makes the nodes known.
    pub(crate) async fn join(&self) {
        for name in self.names.iter() {
            self.caller.create("/api/v1/nodes", &json!({"metadata": {"name": name}})).await;
            let ready = json!({"status": {
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                "allocatable": {"cpu": "64", "memory": "64Gi", "pods": "500"},
            }});
            self.caller.patch(&format!("/api/v1/nodes/{name}/status"), &ready).await;
            let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": name, "renewTime": self.micros()}});
            self.caller.create(LEASES, &lease).await;
        }
    }

    /// Loses a node for a while.
    pub(crate) async fn lose_one(&self) {
        let Some(name) = self.random.pick(&self.names) else { return };
        self.lost.lock().insert(name.clone());
        sleep(self.random.millis(5_000..=240_000)).await;
        self.lost.lock().remove(name);
    }

    /// Every node lives again.
    pub(crate) fn find_all(&self) {
        self.lost.lock().clear();
    }

    /// Says that the nodes live, for ever.
    pub(crate) async fn keep_alive(self) {
        loop {
            sleep(HEARTBEAT).await;
            for name in self.names.iter().filter(|name| !self.lost.lock().contains(*name)) {
                let renewed = json!({"spec": {"renewTime": self.micros()}});
                self.caller.patch(&format!("{LEASES}/{name}"), &renewed).await;
                let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
                if !self.says_ready(name) {
                    self.caller.patch(&format!("/api/v1/nodes/{name}/status"), &ready).await;
                }
            }
        }
    }

    /// Runs Pods, for ever.
    pub(crate) async fn run(self) {
        let mut watch = self.cluster.store.watch(PODS, 0).expect("the beginning can be watched");
        let (mut tasks, mut busy) = (JoinSet::new(), BTreeSet::new());
        loop {
            let key = tokio::select! {
                biased;
                Some(done) = tasks.join_next() => {
                    let key = done.expect("a node does not panic");
                    busy.remove(&key);
                    key
                }
                event = watch.next() => match event {
                    Some(Ok(event)) => event.entry.key.to_string(),
                    _ => return,
                },
            };
            if let Some(pod) = self.pod(&key)
                && let Some(next) = self.next(&pod)
                && busy.insert(key.clone())
            {
                tasks.spawn(self.clone().act(key, pod, next));
            }
        }
    }

    fn pod(&self, key: &str) -> Option<Value> {
        serde_json::from_slice(&self.cluster.store.get(key)?.value).ok()
    }

    fn says_ready(&self, node: &str) -> bool {
        let entry = self.cluster.store.get(&format!("/registry/nodes/{node}"));
        let node = entry.and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
        node.is_some_and(|node| is_true(&node, "Ready"))
    }

    fn next(&self, pod: &Value) -> Option<Next> {
        let (phase, bound) = (text(pod, "status.phase"), !text(pod, "spec.nodeName").is_empty());
        let rough = !self.weather.is_calm() && !self.gentle;
        match phase {
            _ if is_terminating(pod) => Some(Next::Remove),
            _ if !bound => Some(Next::Bind),
            _ if is_finished(pod) => None,
            "Pending" | "" => Some(if rough && self.random.per_mille(40) { Next::Fail } else { Next::Start }),
            _ if text(pod, "spec.restartPolicy") != "Always" => Some(Next::Finish),
            _ if !is_true(pod, "Ready") => Some(Next::BecomeReady),
            _ if rough && self.random.per_mille(60) => Some(Next::Waver),
            _ if rough && self.random.per_mille(30) => Some(Next::Fail),
            _ => None,
        }
    }

    /// Does one thing after a while, if it still is the thing to do; answers the Pod's key.
    async fn act(self, key: String, pod: Value, next: Next) -> String {
        let longest = match next {
            Next::Bind | Next::Remove => 1_500,
            Next::Start | Next::BecomeReady => 2_500,
            Next::Waver | Next::Fail | Next::Finish => 15_000,
        };
        sleep(self.random.millis(1..=longest)).await;
        let node = text(&pod, "spec.nodeName");
        while self.lost.lock().contains(node) {
            sleep(HEARTBEAT).await;
        }
        let now = self.pod(&key);
        if let Some(now) =
            now.filter(|now| uid(now) == uid(&pod) && is_terminating(now) == (next == Next::Remove))
        {
            self.carry_out(&now, next).await;
        }
        key
    }

    async fn carry_out(&self, pod: &Value, next: Next) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", text(pod, "metadata.name"));
        match next {
            Next::Bind => self.bind(pod, &path).await,
            Next::Remove => {
                let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid(pod)}});
                self.caller.delete(&path, &options).await;
            }
            Next::Start => self.tell(pod, &path, "Running", self.gentle || self.random.per_mille(700)).await,
            Next::BecomeReady => self.tell(pod, &path, "Running", true).await,
            Next::Waver => self.tell(pod, &path, "Running", false).await,
            Next::Fail => self.tell(pod, &path, "Failed", false).await,
            Next::Finish => {
                let fails = self.random.per_mille(if self.weather.is_calm() { 0 } else { 250 });
                self.tell(pod, &path, if fails { "Failed" } else { "Succeeded" }, false).await;
            }
        }
    }

    async fn bind(&self, pod: &Value, path: &str) {
        let wanted = wanted_node(pod);
        let alive: Vec<_> = self.names.iter().filter(|name| !self.lost.lock().contains(*name)).collect();
        let node = wanted.or_else(|| self.random.pick(&alive).map(|name| (*name).clone()));
        let Some(node) = node else { return };
        let binding = json!({
            "metadata": {"name": pod["metadata"]["name"], "uid": uid(pod)},
            "target": {"kind": "Node", "name": node},
        });
        // A Pod that went meanwhile cannot be bound.
        self.caller.call(Method::POST, &format!("{path}/binding"), Some(&binding)).await;
    }

    /// Writes what became of a Pod.
    async fn tell(&self, pod: &Value, path: &str, phase: &str, ready: bool) {
        let word = if ready { "True" } else { "False" };
        let now = self.cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let since = if is_true(pod, "Ready") == ready { ready_since(pod) } else { None };
        let since = since.map_or(now.clone(), str::to_owned);
        let state = match phase {
            "Running" => json!({"running": {"startedAt": now}}),
            phase => {
                json!({"terminated": {"exitCode": i32::from(phase == "Failed"), "startedAt": now, "finishedAt": now}})
            }
        };
        let status = json!({"metadata": {"uid": uid(pod)}, "status": {
            "phase": phase,
            "conditions": [
                {"type": "Ready", "status": word, "lastTransitionTime": since},
                {"type": "ContainersReady", "status": word, "lastTransitionTime": since},
                {"type": "PodScheduled", "status": "True"},
            ],
            "containerStatuses": [{
                "name": "main", "ready": ready, "restartCount": 0, "image": "app",
                "imageID": "", "state": state,
            }],
        }});
        self.caller.patch(&format!("{path}/status"), &status).await;
    }

    fn micros(&self) -> String {
        self.cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

fn ready_since(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == "Ready")?["lastTransitionTime"].as_str()
}

/// The node that a Pod of a DaemonSet names.
pub(crate) fn wanted_node(pod: &Value) -> Option<String> {
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let field = &terms["nodeSelectorTerms"][0]["matchFields"][0];
    (field["key"] == "metadata.name").then(|| field["values"][0].as_str().map(str::to_owned))?
}
