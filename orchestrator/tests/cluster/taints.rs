//! Taints that drive Pods away: what conformance says of how long Pods stay, and of those that may stay after all.

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::workload::is_ready;

const TAINT: &str = "kubernetes.io/e2e-evict-taint-key";

/// A Pod that bears the taint for so long; for ever if nothing is said, not at all below zero.
fn pod(name: &str, seconds: Option<i64>) -> Value {
    let toleration =
        json!({"key": TAINT, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let tolerations =
        if seconds.is_some_and(|seconds| seconds < 0) { json!([]) } else { json!([toleration]) };
    json!({
        "metadata": {"name": name, "labels": {"app": "tolerant"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "tolerations": tolerations},
    })
}

impl Cluster {
    async fn ready_pod(&self, name: &str, seconds: Option<i64>) {
        self.create::<Pod>(pod(name, seconds)).await.unwrap();
        self.until::<Pod>(name, is_ready).await;
    }

    async fn taint(&self, taints: Value) {
        let patch = Patch::Merge(json!({"spec": {"taints": taints}}));
        Api::<Node>::all(self.client.clone()).patch("node-0", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until an event says this of what controllers did about taints.
    async fn told(&self, message: &str) {
        let is = |events: &[std::sync::Arc<Event>]| {
            events.iter().any(|event| {
                event.reason.as_deref() == Some("TaintManagerEviction")
                    && event.message.as_deref() == Some(message)
            })
        };
        self.until_all::<Event>("", is).await;
    }
}

fn evict() -> Value {
    json!([{"key": TAINT, "value": "evictTaintVal", "effect": "NoExecute"}])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pod_eviction_toleration_limits() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    for (name, seconds) in [("none", Some(-1)), ("short", Some(1)), ("long", Some(3600)), ("ever", None)] {
        cluster.ready_pod(name, seconds).await;
    }
    cluster.taint(evict()).await;
    cluster.until_gone::<Pod>("none").await;
    cluster.until_gone::<Pod>("short").await;
    cluster.told("Marking for deletion Pod test/none").await;
    cluster.told("Marking for deletion Pod test/short").await;
    let left = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = left
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(names, ["ever", "long"]);
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taint_pod_eviction_on_taint_removal() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    cluster.ready_pod("patient", Some(3600)).await;
    cluster.ready_pod("impatient", Some(1)).await;
    // Whoever is evicted stays long enough to be looked at.
    kubelet.linger(|_| true);
    cluster.taint(evict()).await;
    let going = cluster.until::<Pod>("impatient", |pod| pod.metadata.deletion_timestamp.is_some()).await;
    let conditions = going.status.unwrap().conditions.unwrap();
    let target = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget").unwrap();
    assert_eq!((target.status.as_str(), target.reason.as_deref()), ("True", Some("DeletionByTaintManager")));
    assert_eq!(target.message.as_deref(), Some("Taint manager: deleting due to NoExecute taint"));
    cluster.taint(json!(null)).await;
    cluster.told("Cancelling deletion of Pod test/patient").await;
    let stays = cluster.get::<Pod>("patient").await;
    assert!(stays.metadata.deletion_timestamp.is_none());
    assert!(!stays.status.unwrap().conditions.unwrap().iter().any(|c| c.type_ == "DisruptionTarget"));
    kubelet.linger(|_| false);
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_given_up_one_by_one_and_never_all() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    let nodes = Api::<Node>::all(cluster.client.clone());
    let say = async |name: &str, ready: &str| {
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": ready, "reason": "Test"}]}});
        nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    };
    let taints = async |name: &str, wanted: &[&str]| {
        let is = |node: Option<&Node>| {
            let taints = node.and_then(|node| node.spec.as_ref()?.taints.clone()).unwrap_or_default();
            taints.iter().map(|taint| taint.effect.as_str()).collect::<Vec<_>>() == wanted
        };
        crate::support::wait(kube::runtime::wait::await_condition(nodes.clone(), name, is)).await;
    };
    say("node-0", "False").await;
    taints("node-0", &["NoSchedule"]).await;
    kubelet.add_node("node-1", json!({})).await;
    taints("node-0", &["NoSchedule", "NoExecute"]).await;
    say("node-1", "False").await;
    taints("node-1", &["NoSchedule"]).await;
    taints("node-0", &["NoSchedule"]).await;
    say("node-0", "True").await;
    taints("node-0", &[]).await;
    cluster.plane.shutdown().await;
}
