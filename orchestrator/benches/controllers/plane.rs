//! The cluster that is measured: a control plane, registered nodes, and counting of Pods.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, Object};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wherry_api::clock::{Clock, SystemClock};
use wherry_orchestrator::ControlPlane;

#[path = "../../tests/support/node_lease.rs"]
mod node_lease;
#[path = "../../tests/support/mod.rs"]
mod setup;

const NAMESPACE: &str = "default";
/// How long nothing must be written before everything counts as done.
const QUIET: Duration = Duration::from_secs(3);
/// How many Deployments are asked for side by side.
const PARALLEL: usize = 16;

/// See the module's documentation.
pub(crate) struct Plane {
    plane: ControlPlane,
    client: Client,
}

impl Plane {
    pub(crate) async fn start(directory: &Path) -> Self {
        let plane = Self::of(Box::pin(ControlPlane::start(setup::config(directory).await)).await.unwrap());
        // The controllers are at work once they have done this.
        let maps = Api::<ConfigMap>::namespaced(plane.client.clone(), NAMESPACE);
        await_condition(maps, "kube-root-ca.crt", |found: Option<&ConfigMap>| found.is_some()).await.unwrap();
        plane
    }

    /// The API server without controllers and scheduler.
    pub(crate) async fn start_api(directory: &Path) -> Self {
        Self::of(Box::pin(ControlPlane::start_api(setup::config(directory).await)).await.unwrap())
    }

    fn of(plane: ControlPlane) -> Self {
        let client = plane.client("bench", "bench");
        Self { plane, client }
    }

    pub(crate) async fn stop(self) {
        drop(self.client);
        self.plane.shutdown().await;
    }

    pub(crate) async fn create_deployment(&self, name: &str, replicas: usize, scheduler: &str) {
        let labels = json!({ "app": name });
        let container = json!({
            "name": "c", "image": "registry.example/app:v1", "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        });
        let deployment = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"schedulerName": scheduler, "containers": [container]}},
            },
        });
        let api = Api::<Deployment>::namespaced(self.client.clone(), NAMESPACE);
        api.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
    }

    pub(crate) async fn create_deployments(&self, count: usize, replicas: usize, scheduler: &str) {
        let create = |number: usize| async move {
            self.create_deployment(&format!("web-{number}"), replicas, scheduler).await;
        };
        stream::iter(0..count).for_each_concurrent(PARALLEL, create).await;
    }

    /// Waits until nothing has been written for a while, except what nodes say of themselves; answers the revision.
    pub(crate) async fn quiet_revision(&self) -> u64 {
        let pods = Api::<Pod>::namespaced(self.client.clone(), "kube-system");
        let revision = async || -> u64 {
            let list = pods.list(&ListParams::default().limit(1)).await.unwrap();
            list.metadata.resource_version.unwrap().parse().unwrap()
        };
        let mut last = revision().await;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = revision().await;
            if now - last < 50 {
                return now;
            }
            last = now;
        }
    }

    /// Counts Pods from now on.
    pub(crate) async fn watch_pods(&self) -> Pods {
        let resource = ApiResource::erase::<Pod>(&());
        let api = Api::<Seen>::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let list = api.list(&ListParams::default().limit(1)).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        let events = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        Pods { events, exist: 0, bound: HashSet::new() }
    }
}

/// Of a Pod only what is counted, so that counting takes little of what is measured.
type Seen = Object<SeenSpec, IgnoredAny>;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeenSpec {
    node_name: Option<String>,
}

/// Pods as a watch tells of them.
pub(crate) struct Pods {
    events: BoxStream<'static, kube::Result<WatchEvent<Seen>>>,
    exist: usize,
    bound: HashSet<String>,
}

impl Pods {
    pub(crate) async fn until_exist(&mut self, count: usize) {
        while self.exist < count {
            self.next().await;
        }
    }

    pub(crate) async fn until_bound(&mut self, count: usize) {
        while self.bound.len() < count {
            self.next().await;
        }
    }

    async fn next(&mut self) {
        let (pod, is_new) = match self.events.next().await.unwrap().unwrap() {
            WatchEvent::Added(pod) => (pod, true),
            WatchEvent::Modified(pod) => (pod, false),
            other => panic!("{other:?}"),
        };
        self.exist += usize::from(is_new);
        if pod.spec.node_name.is_some() {
            self.bound.insert(pod.name_any());
        }
    }
}

/// Nodes that say that they live; they do so until this is dropped.
pub(crate) struct Nodes {
    _renewing: JoinSet<()>,
}

impl Nodes {
    pub(crate) async fn register(plane: &Plane, count: usize, pods: usize) -> Self {
        let nodes = Api::<Node>::all(plane.client.clone());
        let mut renewing = JoinSet::new();
        for number in 0..count {
            let name = format!("node-{number}");
            let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
            nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
            nodes
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(status(pods)))
                .await
                .unwrap();
            renewing.spawn(node_lease::renew(plane.client.clone(), name));
        }
        for number in 0..count {
            let untainted = |node: Option<&Node>| {
                let taints = node.and_then(|node| node.spec.as_ref()?.taints.as_ref());
                taints.is_none_or(Vec::is_empty)
            };
            await_condition(nodes.clone(), &format!("node-{number}"), untainted).await.unwrap();
        }
        Self { _renewing: renewing }
    }
}

fn status(pods: usize) -> Value {
    let room =
        json!({"cpu": "100", "memory": "100Gi", "pods": pods.to_string(), "ephemeral-storage": "100Gi"});
    let now = SystemClock.now().to_string();
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now,
    });
    json!({"status": {"capacity": room, "allocatable": room, "conditions": [ready]}})
}
