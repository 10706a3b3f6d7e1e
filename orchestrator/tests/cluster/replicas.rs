//! ReplicaSets and ReplicationControllers: what conformance says of scaling, adoption and failures.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{Pod, ReplicationController, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::workload::{image, is_ready, manager, template};

fn set(replicas: i32) -> Value {
    let selector = json!({"matchLabels": {"app": "web"}});
    json!({
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": replicas, "selector": selector, "template": template("web", "v1")},
    })
}

fn controller(replicas: i32) -> Value {
    let mut controller = set(replicas);
    controller["spec"]["selector"] = json!({"app": "web"});
    controller
}

fn orphan() -> Value {
    let mut pod = template("web", "v1");
    pod["metadata"]["name"] = json!("orphan");
    pod
}

impl Cluster {
    /// Waits until this many Pods are ready, and there are no others.
    async fn serving(&self, count: usize) -> Vec<std::sync::Arc<Pod>> {
        let are = |pods: &[std::sync::Arc<Pod>]| pods.len() == count && pods.iter().all(|pod| is_ready(pod));
        self.until_all::<Pod>("app=web", are).await
    }

    /// A Pod whose labels do not fit any more is let go, and replaced.
    async fn releases(&self, pod: &str) {
        self.patch::<Pod>(pod, json!({"metadata": {"labels": {"app": "other"}}})).await;
        let released = self.until::<Pod>(pod, |pod| manager(pod).is_none()).await;
        assert!(released.metadata.owner_references.unwrap_or_default().is_empty());
        self.serving(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicaset_is_created_replaced_and_patched() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicaSet>(set(1)).await.unwrap();
    cluster.serving(1).await;
    let scale = json!({"spec": {"replicas": 2}});
    cluster
        .api::<ReplicaSet>()
        .patch_scale("web", &PatchParams::default(), &Patch::Merge(scale))
        .await
        .unwrap();
    cluster.serving(2).await;
    let patch = json!({"metadata": {"labels": {"patched": "yes"}}, "spec": {"replicas": 3, "template": template("web", "v2")}});
    let patched = cluster.patch::<ReplicaSet>("web", patch).await;
    assert_eq!(patched.labels()["patched"], "yes");
    let pods = cluster.serving(3).await;
    assert_eq!(
        pods.iter().filter(|pod| image(pod) == "v2").count(),
        1,
        "only new Pods are of the new template"
    );
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicaset_completes_the_scaling_of_a_replicaset_subresource() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicaSet>(set(1)).await.unwrap();
    cluster.serving(1).await;
    let api = cluster.api::<ReplicaSet>();
    cluster
        .until::<ReplicaSet>("web", |set| set.status.as_ref().is_some_and(|status| status.replicas == 1))
        .await;
    let mut scale: Scale = api.get_scale("web").await.unwrap();
    assert_eq!(scale.status.as_ref().unwrap().replicas, 1);
    // The controller writes the status meanwhile.
    scale.metadata.resource_version = None;
    scale.spec.as_mut().unwrap().replicas = Some(2);
    api.replace_scale("web", &PostParams::default(), &scale).await.unwrap();
    cluster.serving(2).await;
    let patch = Patch::Merge(json!({"spec": {"replicas": 4}}));
    api.patch_scale("web", &PatchParams::default(), &patch).await.unwrap();
    cluster.serving(4).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_set_adopt_matching_pods_and_release_non_matching_pods() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Pod>(orphan()).await.unwrap();
    cluster.create::<ReplicaSet>(set(1)).await.unwrap();
    cluster.until::<Pod>("orphan", |pod| manager(pod) == Some(("ReplicaSet".into(), "web".into()))).await;
    cluster.serving(1).await;
    cluster.releases("orphan").await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_controller_adopt_matching_pods() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Pod>(orphan()).await.unwrap();
    cluster.create::<ReplicationController>(controller(1)).await.unwrap();
    let adopted = Some(("ReplicationController".to_owned(), "web".to_owned()));
    cluster.until::<Pod>("orphan", |pod| manager(pod) == adopted).await;
    let pods = cluster.serving(1).await;
    assert_eq!(pods[0].name_any(), "orphan");
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_controller_release_pods() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicationController>(controller(1)).await.unwrap();
    let pods = cluster.serving(1).await;
    cluster.releases(&pods[0].name_any()).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_controller_get_and_update_replicationcontroller_scale() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<ReplicationController>(controller(1)).await.unwrap();
    cluster.serving(1).await;
    let api = cluster.api::<ReplicationController>();
    let mut scale: Scale = api.get_scale("web").await.unwrap();
    assert_eq!(scale.spec.as_ref().unwrap().replicas, Some(1));
    // The controller writes the status meanwhile.
    scale.metadata.resource_version = None;
    scale.spec.as_mut().unwrap().replicas = Some(2);
    let written = api.replace_scale("web", &PostParams::default(), &scale).await.unwrap();
    assert_eq!(written.spec.unwrap().replicas, Some(2));
    cluster.serving(2).await;
    cluster.plane.shutdown().await;
}

fn failure(controller: &ReplicationController) -> Option<&str> {
    let conditions = controller.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|condition| condition.type_ == "ReplicaFailure")?;
    failure.reason.as_deref()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_controller_check_for_issues_like_exceeding_allocated_quota() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    let quota = json!({"metadata": {"name": "two"}, "spec": {"hard": {"pods": "2"}}});
    cluster.create::<ResourceQuota>(quota).await.unwrap();
    let limited = |quota: &ResourceQuota| quota.status.as_ref().is_some_and(|status| status.hard.is_some());
    cluster.until::<ResourceQuota>("two", limited).await;
    cluster.create::<ReplicationController>(controller(3)).await.unwrap();
    let failed = |controller: &ReplicationController| failure(controller) == Some("FailedCreate");
    cluster.until::<ReplicationController>("web", failed).await;
    cluster.serving(2).await;
    cluster.patch::<ReplicationController>("web", json!({"spec": {"replicas": 2}})).await;
    cluster.until::<ReplicationController>("web", |controller| failure(controller).is_none()).await;
    cluster.plane.shutdown().await;
}
