//! DaemonSets and their revisions: what conformance says of nodes, updates and failed Pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::kubelet::Fate;
use crate::support::workload::{Chronicle, image, is_going, is_ready, template};

const HASH: &str = "controller-revision-hash";

fn set(more: &Value) -> Value {
    let mut spec =
        json!({"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "v1")});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "agent", "labels": {"app": "agent"}}, "spec": spec})
}

fn new_image(image: &str) -> Value {
    json!({"spec": {"template": template("agent", image)}})
}

/// The node of each Pod that serves.
fn nodes(pods: &[Arc<Pod>]) -> Vec<String> {
    let serving = pods.iter().filter(|pod| is_ready(pod) && !is_going(pod));
    let mut nodes: Vec<_> = serving.filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
    nodes.sort();
    nodes
}

impl Cluster {
    /// Waits until one Pod serves on each of these nodes, and there are no others.
    async fn runs_on(&self, wanted: &[&str]) -> Vec<Arc<Pod>> {
        let are = |pods: &[Arc<Pod>]| pods.len() == wanted.len() && nodes(pods) == wanted;
        self.until_all::<Pod>("app=agent", are).await
    }

    async fn label_node(&self, name: &str, color: &str) {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"color": color}}}));
        Api::<Node>::all(self.client.clone()).patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn revisions(&self, count: usize) -> Vec<Arc<ControllerRevision>> {
        let mut found = self
            .until_all::<ControllerRevision>("app=agent", |held: &[Arc<ControllerRevision>]| {
                held.len() == count
            })
            .await;
        found.sort_by_key(|held| held.revision);
        found
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemonset_creation() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    cluster.create::<DaemonSet>(set(&json!({}))).await.unwrap();
    let pods = cluster.runs_on(&["node-0", "node-1"]).await;
    let gone = pods[0].name_any();
    cluster.delete::<Pod>(&gone).await;
    cluster.until_gone::<Pod>(&gone).await;
    cluster.runs_on(&["node-0", "node-1"]).await;
    kubelet.add_node("node-2", json!({})).await;
    cluster.runs_on(&["node-0", "node-1", "node-2"]).await;
    let counted =
        |set: &DaemonSet| set.status.as_ref().is_some_and(|status| status.number_available == Some(3));
    let status = cluster.until::<DaemonSet>("agent", counted).await.status.unwrap();
    assert_eq!((status.desired_number_scheduled, status.number_misscheduled), (3, 0));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemonset_nodeselection() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    let mut on_blue = set(&json!({}));
    on_blue["spec"]["template"]["spec"]["nodeSelector"] = json!({"color": "blue"});
    cluster.create::<DaemonSet>(on_blue).await.unwrap();
    let none = |set: &DaemonSet| {
        set.status.as_ref().is_some_and(|status| status.observed_generation == set.metadata.generation)
    };
    cluster.until::<DaemonSet>("agent", none).await;
    cluster.runs_on(&[]).await;
    cluster.label_node("node-1", "blue").await;
    cluster.runs_on(&["node-1"]).await;
    cluster.label_node("node-1", "green").await;
    cluster.runs_on(&[]).await;
    let on_green = json!({"spec": {"template": {"spec": {"nodeSelector": {"color": "green"}}}}});
    cluster.patch::<DaemonSet>("agent", on_green).await;
    cluster.runs_on(&["node-1"]).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemonset_failedpodcreation() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    cluster.create::<DaemonSet>(set(&json!({}))).await.unwrap();
    let pods = cluster.runs_on(&["node-0", "node-1"]).await;
    kubelet.make_this(&pods[0], Fate::Failed(1));
    cluster.until_gone::<Pod>(&pods[0].name_any()).await;
    cluster.runs_on(&["node-0", "node-1"]).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemonset_rollingupdate() {
    let (cluster, _kubelet) = Cluster::with_nodes(3).await;
    cluster.create::<DaemonSet>(set(&json!({}))).await.unwrap();
    cluster.runs_on(&["node-0", "node-1", "node-2"]).await;
    let first = cluster.revisions(1).await.remove(0);
    let mut chronicle = Chronicle::begin(&cluster, "agent").await;
    cluster.patch::<DaemonSet>("agent", new_image("v2")).await;
    let is_new = |pods: &BTreeMap<String, Pod>| {
        pods.len() == 3 && pods.values().all(|pod| image(pod) == "v2" && is_ready(pod) && !is_going(pod))
    };
    chronicle
        .until(is_new, |change| {
            if change.new.is_some_and(is_going) && change.old.is_some_and(|old| !is_going(old)) {
                let serving = change.pods.values().filter(|pod| is_ready(pod) && !is_going(pod));
                assert_eq!(serving.count(), 3, "only one may be missing");
            }
        })
        .await;
    let held = cluster.revisions(2).await;
    assert_eq!((held[0].revision, held[1].revision), (1, 2));
    assert_ne!(held[1].labels()[HASH], first.labels()[HASH]);
    let pods = cluster.list::<Pod>("app=agent").await;
    assert!(pods.iter().all(|pod| pod.labels()[HASH] == held[1].labels()[HASH]));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemonset_rollback() {
    let (cluster, kubelet) = Cluster::with_nodes(3).await;
    kubelet.rule(|pod| (image(pod) == "bad").then_some(Fate::Running));
    cluster.create::<DaemonSet>(set(&json!({}))).await.unwrap();
    let before = cluster.runs_on(&["node-0", "node-1", "node-2"]).await;
    cluster.patch::<DaemonSet>("agent", new_image("bad")).await;
    let one_is_bad = |pods: &[Arc<Pod>]| pods.iter().filter(|pod| image(pod) == "bad").count() == 1;
    let during = cluster.until_all::<Pod>("app=agent", |pods| pods.len() == 3 && one_is_bad(pods)).await;
    let held = cluster.revisions(2).await;
    // As `kubectl rollout undo` does.
    let patch = Patch::Strategic(held[0].data.as_ref().unwrap().0.clone());
    cluster.api::<DaemonSet>().patch("agent", &PatchParams::default(), &patch).await.unwrap();
    let after = cluster.runs_on(&["node-0", "node-1", "node-2"]).await;
    let kept: Vec<_> = during.iter().filter(|pod| image(pod) == "v1").map(|pod| pod.uid()).collect();
    assert_eq!(kept.len(), 2);
    assert!(
        kept.iter().all(|uid| after.iter().any(|pod| pod.uid() == *uid)),
        "Pods were restarted for nothing"
    );
    assert_eq!(after.iter().filter(|pod| !before.iter().any(|old| old.uid() == pod.uid())).count(), 1);
    cluster.plane.shutdown().await;
}

/// Surging never takes a Pod away before another serves in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_surging_update_misses_no_pod() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    let surge = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}});
    cluster.create::<DaemonSet>(set(&surge)).await.unwrap();
    cluster.runs_on(&["node-0", "node-1"]).await;
    let mut chronicle = Chronicle::begin(&cluster, "agent").await;
    cluster.patch::<DaemonSet>("agent", new_image("v2")).await;
    let is_new = |pods: &BTreeMap<String, Pod>| {
        pods.len() == 2 && pods.values().all(|pod| image(pod) == "v2" && is_ready(pod) && !is_going(pod))
    };
    chronicle
        .until(is_new, |change| {
            if let (Some(old), Some(new)) = (change.old, change.new)
                && is_going(new)
                && !is_going(old)
            {
                let serving = change.pods.values().filter(|pod| is_ready(pod) && !is_going(pod));
                assert!(serving.count() >= 3, "a Pod goes before another serves in its place");
            }
        })
        .await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllerrevision_resource_lifecycle() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<DaemonSet>(set(&json!({}))).await.unwrap();
    cluster.runs_on(&["node-0"]).await;
    let first = cluster.revisions(1).await.remove(0);
    let label = json!({"metadata": {"labels": {"patched": "yes"}}});
    let patched = cluster.patch::<ControllerRevision>(&first.name_any(), label).await;
    assert_eq!(patched.labels()["patched"], "yes");
    let mut second = ControllerRevision { revision: first.revision + 1, ..(*first).clone() };
    second.metadata = serde_json::from_value(json!({
        "name": "made-by-hand", "labels": {"app": "agent"}, "ownerReferences": first.metadata.owner_references,
    }))
    .unwrap();
    let api = cluster.api::<ControllerRevision>();
    api.create(&PostParams::default(), &second).await.unwrap();
    // It says the same as the first, so the controller drops one of them; a test that deletes it itself races with that.
    let kept = cluster.revisions(1).await.remove(0);
    let mut updated = (*kept).clone();
    updated.metadata.resource_version = None;
    updated.labels_mut().insert("updated".to_owned(), "yes".to_owned());
    let updated = api.replace(&kept.name_any(), &PostParams::default(), &updated).await.unwrap();
    assert_eq!(updated.labels()["updated"], "yes");
    cluster.patch::<DaemonSet>("agent", new_image("v2")).await;
    cluster.revisions(2).await;
    cluster.runs_on(&["node-0"]).await;
    let old = ListParams::default().labels("updated=yes");
    api.delete_collection(&DeleteParams::default(), &old).await.unwrap();
    assert_eq!(cluster.revisions(1).await[0].revision, 3);
    cluster.plane.shutdown().await;
}
