//! Users: they make workloads and change their minds.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cluster::{Caller, NAMESPACE};
use crate::invariants::Gone;
use crate::node::Nodes;
use crate::object::{text, uid};
use crate::random::Random;

/// The name of what is left alone but for evictions, and of its budget.
pub(crate) const GUARDED: &str = "guarded";

/// A kind of workload: where it is, and what one looks like.
struct Workload {
    plural: &'static str,
    make: fn(&User, &str) -> Value,
    /// What can be changed of one; each is as likely.
    edits: &'static [fn(&User) -> Value],
}

const WORKLOADS: &[Workload] = &[
    Workload {
        plural: "deployments",
        make: User::deployment,
        edits: &[
            User::scale,
            User::scale,
            User::template,
            User::template,
            User::strategy,
            User::pause,
            User::patience,
        ],
    },
    Workload {
        plural: "daemonsets",
        make: User::daemon_set,
        edits: &[User::template, User::template, User::node_by_node],
    },
    Workload { plural: "jobs", make: User::job, edits: &[User::parallelism, User::suspend] },
    Workload { plural: "replicasets", make: User::replica_set, edits: &[User::scale] },
    Workload {
        plural: "statefulsets",
        make: User::stateful_set,
        edits: &[User::scale, User::scale, User::template, User::template, User::partition],
    },
];

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct User {
    caller: Caller,
    random: Random,
    nodes: Nodes,
    /// What users deleted.
    deleted: Gone,
    /// Whether Pods and nodes are left alone.
    gentle: bool,
}

impl User {
    /// A user.
    pub(crate) fn new(caller: Caller, random: Random, nodes: Nodes, deleted: Gone, gentle: bool) -> Self {
        Self { caller, random, nodes, deleted, gentle }
    }

    /// Makes workloads and changes them, and evicts Pods of one that is left alone otherwise, until dropped.
    pub(crate) async fn run(self) {
        if self.gentle {
            self.guard().await;
            tokio::select! {
                biased;
                () = self.change() => {}
                () = self.evict() => {}
            }
        } else {
            self.change().await;
        }
    }

    async fn change(&self) {
        for number in 0..self.random.between(1..=2) {
            self.make(number).await;
        }
        let mut made = 2;
        loop {
            sleep(self.random.millis(10..=8_000)).await;
            match self.random.between(0..=99) {
                0..=69 => self.change_one().await,
                70..=77 => self.delete_one().await,
                78..=82 => {
                    self.make(made).await;
                    made += 1;
                }
                _ if self.gentle => {}
                83..=90 => self.disturb_pod().await,
                91..=95 => self.stray_pod(made).await,
                _ => self.nodes.lose_one().await,
            }
        }
    }

    /// Makes Pods that a budget guards.
    async fn guard(&self) {
        let set = json!({"metadata": {"name": GUARDED}, "spec": {
            "replicas": self.random.between(2..=5),
            "selector": {"matchLabels": {"app": GUARDED}},
            "template": self.pods(GUARDED, "Always"),
        }});
        self.caller.create(&path("replicasets"), &set).await;
        let number = self.random.between(1..=2);
        let limit =
            if self.random.per_mille(500) { json!(number) } else { json!(format!("{}%", number * 30)) };
        let field = if self.random.per_mille(500) { "minAvailable" } else { "maxUnavailable" };
        let budget = json!({"metadata": {"name": GUARDED}, "spec": {
            "selector": {"matchLabels": {"app": GUARDED}}, field: limit,
        }});
        self.caller.create(&path("poddisruptionbudgets"), &budget).await;
    }

    /// Asks for one Pod after the other to go, more often than there is time to replace them.
    async fn evict(&self) {
        loop {
            sleep(self.random.millis(50..=2_000)).await;
            let mut pods = self.caller.list(&path("pods")).await;
            pods.retain(|pod| pod["metadata"]["labels"]["app"] == GUARDED);
            let Some(pod) = self.random.pick(&pods) else { continue };
            let eviction = json!({"metadata": {"name": text(pod, "metadata.name")}});
            // Refused as often as not.
            self.caller.call(Method::POST, &format!("{}/eviction", one("pods", pod)), Some(&eviction)).await;
        }
    }

    /// Leaves nothing half done: what was paused or suspended goes on.
    pub(crate) async fn finish(&self) {
        for job in self.caller.list(&path("jobs")).await {
            if job["spec"]["suspend"] == true {
                self.caller.patch(&one("jobs", &job), &json!({"spec": {"suspend": false}})).await;
            }
        }
        for deployment in self.caller.list(&path("deployments")).await {
            if deployment["spec"]["paused"] == true {
                self.caller.patch(&one("deployments", &deployment), &json!({"spec": {"paused": null}})).await;
            }
        }
    }

    async fn make(&self, number: u64) {
        let Some(workload) = self.random.pick(WORKLOADS) else { return };
        let object = (workload.make)(self, &format!("w{number}"));
        // One of the same name may be there, or going.
        self.caller.call(Method::POST, &path(workload.plural), Some(&object)).await;
    }

    /// One of the workloads that users made.
    async fn one(&self) -> Option<(&'static Workload, Value)> {
        let workload = self.random.pick(WORKLOADS)?;
        let mut there = self.caller.list(&path(workload.plural)).await;
        there.retain(|object| {
            object["metadata"]["ownerReferences"].is_null() && text(object, "metadata.name") != GUARDED
        });
        Some((workload, self.random.pick(&there)?.clone()))
    }

    async fn change_one(&self) {
        if let Some((workload, object)) = self.one().await
            && let Some(edit) = self.random.pick(workload.edits)
        {
            self.caller.patch(&one(workload.plural, &object), &edit(self)).await;
        }
    }

    async fn delete_one(&self) {
        let Some((workload, object)) = self.one().await else { return };
        let policy = self.random.pick(&["Background", "Foreground", "Orphan"]);
        let options = json!({"propagationPolicy": policy, "preconditions": {"uid": uid(&object)}});
        self.deleted.lock().insert(uid(&object).to_owned());
        self.caller.delete(&one(workload.plural, &object), &options).await;
    }

    /// Deletes a Pod, or takes it away from its controller.
    async fn disturb_pod(&self) {
        let pods = self.caller.list(&path("pods")).await;
        let Some(pod) = self.random.pick(&pods) else { return };
        // A Pod that is taken away from a StatefulSet keeps its name, which the set then waits for.
        let named = pod["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet";
        if named || self.random.per_mille(500) {
            self.caller.delete(&one("pods", pod), &json!({})).await;
        } else {
            let labels = json!({"metadata": {"labels": {"app": "stray"}}});
            self.caller.patch(&one("pods", pod), &labels).await;
        }
    }

    /// Makes a Pod that a workload may take for its own.
    async fn stray_pod(&self, number: u64) {
        // A Job's template names the very Job.
        let Some((_, object)) = self.one().await.filter(|(workload, _)| workload.plural != "jobs") else {
            return;
        };
        let mut pod = object["spec"]["template"].clone();
        pod["metadata"]["generateName"] = json!(format!("stray-{number}-"));
        self.caller.call(Method::POST, &path("pods"), Some(&pod)).await;
    }

    fn count(&self) -> u64 {
        self.random.between(0..=5)
    }

    fn pods(&self, app: &str, restart: &str) -> Value {
        json!({
            "metadata": {"labels": {"app": app}, "annotations": {"version": self.version()}},
            "spec": {
                "containers": [{"name": "main", "image": "app"}],
                "restartPolicy": restart,
                "terminationGracePeriodSeconds": 2,
            },
        })
    }

    fn version(&self) -> String {
        format!("v{}", self.random.between(1..=4))
    }

    fn deployment(&self, name: &str) -> Value {
        let mut spec = json!({
            "replicas": self.count(),
            "selector": {"matchLabels": {"app": name}},
            "template": self.pods(name, "Always"),
            "revisionHistoryLimit": self.random.between(0..=3),
        });
        spec["strategy"] = self.strategy()["spec"]["strategy"].take();
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn daemon_set(&self, name: &str) -> Value {
        let mut spec = json!({
            "selector": {"matchLabels": {"app": name}},
            "template": self.pods(name, "Always"),
        });
        spec["updateStrategy"] = self.node_by_node()["spec"]["updateStrategy"].take();
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn job(&self, name: &str) -> Value {
        let mode = if self.random.per_mille(400) { "Indexed" } else { "NonIndexed" };
        let spec = json!({
            "completions": self.random.between(1..=4),
            "parallelism": self.random.between(1..=3),
            "completionMode": mode,
            // With more, the time between failures outlasts the simulation.
            "backoffLimit": self.random.between(0..=3),
            "template": self.pods(name, "Never"),
        });
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn replica_set(&self, name: &str) -> Value {
        let spec = json!({
            "replicas": self.count(),
            "selector": {"matchLabels": {"app": name}},
            "template": self.pods(name, "Always"),
        });
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn stateful_set(&self, name: &str) -> Value {
        let ordered = self.random.per_mille(500);
        let mut spec = json!({
            "replicas": self.count(),
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": self.pods(name, "Always"),
            "podManagementPolicy": if ordered { "OrderedReady" } else { "Parallel" },
        });
        if self.random.per_mille(150) {
            spec["updateStrategy"] = json!({"type": "OnDelete"});
        }
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn partition(&self) -> Value {
        let partition = self.random.between(0..=3);
        json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}}})
    }

    fn scale(&self) -> Value {
        json!({"spec": {"replicas": self.count()}})
    }

    fn template(&self) -> Value {
        json!({"spec": {"template": {"metadata": {"annotations": {"version": self.version()}}}}})
    }

    fn strategy(&self) -> Value {
        if self.random.per_mille(150) {
            return json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
        }
        let percent = |number: u64| json!(format!("{}%", number * 25));
        let (surge, unavailable) = (self.random.between(0..=3), self.random.between(0..=2));
        // Both may not be zero.
        let surge = if unavailable == 0 { surge.max(1) } else { surge };
        let (surge, unavailable) = if self.random.per_mille(300) {
            (percent(surge), percent(unavailable))
        } else {
            (json!(surge), json!(unavailable))
        };
        let limits = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": limits}}})
    }

    fn node_by_node(&self) -> Value {
        let surges = self.random.per_mille(300);
        let limits = json!({"maxSurge": i32::from(surges), "maxUnavailable": i32::from(!surges)});
        json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": limits}}})
    }

    fn parallelism(&self) -> Value {
        json!({"spec": {"parallelism": self.random.between(1..=4)}})
    }

    fn suspend(&self) -> Value {
        json!({"spec": {"suspend": self.random.per_mille(500)}})
    }

    fn pause(&self) -> Value {
        json!({"spec": {"paused": self.random.per_mille(400)}})
    }

    fn patience(&self) -> Value {
        json!({"spec": {"minReadySeconds": self.random.between(0..=4)}})
    }
}

/// How long users are busy.
pub(crate) fn busy(random: &Random) -> Duration {
    random.millis(5_000..=40_000)
}

fn path(plural: &str) -> String {
    let group = match plural {
        "pods" => "/api/v1",
        "jobs" => "/apis/batch/v1",
        "poddisruptionbudgets" => "/apis/policy/v1",
        _ => "/apis/apps/v1",
    };
    format!("{group}/namespaces/{NAMESPACE}/{plural}")
}

fn one(plural: &str, object: &Value) -> String {
    format!("{}/{}", path(plural), text(object, "metadata.name"))
}
