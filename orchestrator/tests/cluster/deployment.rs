//! Deployments: what conformance says of rollouts, scaling and history.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::kubelet::{Fate, Kubelet};
use crate::support::workload::{Chronicle, image, is_ready, template};

fn deployment(replicas: i32, image: &str, more: &Value) -> Value {
    let mut spec = json!({
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", image),
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec})
}

fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && status.replicas == wanted
            && status.updated_replicas == wanted
            && status.available_replicas == wanted
    })
}

fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
}

fn image_of(set: &ReplicaSet) -> &str {
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref()?.spec.as_ref());
    template.and_then(|spec| spec.containers.first()?.image.as_deref()).unwrap_or_default()
}

fn new_image(image: &str) -> Value {
    json!({"spec": {"template": template("web", image)}})
}

/// Pods of this image run and never become ready.
fn is_bad(kubelet: &Kubelet, bad: &'static str) {
    kubelet.rule(move |pod| (image(pod) == bad).then_some(Fate::Running));
}

impl Cluster {
    async fn roll_out(&self) -> Deployment {
        self.until::<Deployment>("web", is_rolled_out).await
    }

    /// Waits until the sets have these sizes, by image.
    async fn sets(&self, sizes: &[(&str, i32)]) -> Vec<Arc<ReplicaSet>> {
        let fits = |sets: &[Arc<ReplicaSet>]| {
            sizes
                .iter()
                .all(|(image, wanted)| sets.iter().any(|set| image_of(set) == *image && size(set) == *wanted))
        };
        self.until_all::<ReplicaSet>("app=web", fits).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_recreate() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    let recreate = json!({"strategy": {"type": "Recreate"}});
    cluster.create::<Deployment>(deployment(2, "v1", &recreate)).await.unwrap();
    cluster.roll_out().await;
    let mut chronicle = Chronicle::begin(&cluster, "web").await;
    cluster.patch::<Deployment>("web", new_image("v2")).await;
    let updated = |pod: &Pod| image(pod) == "v2" && is_ready(pod);
    chronicle
        .until(
            |pods| pods.values().filter(|pod| updated(pod)).count() == 2,
            |change| {
                let ended = |pod: &Pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Failed");
                let begins = change.old.is_none() && change.new.is_some_and(|pod| image(pod) == "v2");
                let old_ended = change.pods.values().all(|pod| image(pod) == "v2" || ended(pod));
                assert!(!begins || old_ended, "a new Pod beside an old one");
            },
        )
        .await;
    cluster.roll_out().await;
    cluster.sets(&[("v1", 0), ("v2", 2)]).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_rollingupdate() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    let revision = |number: &str| json!({"deployment.kubernetes.io/revision": number});
    let set = json!({
        "metadata": {"name": "before", "labels": {"app": "web"}, "annotations": revision("3546343826724305832")},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "v1")},
    });
    cluster.create::<ReplicaSet>(set).await.unwrap();
    cluster.until_all::<Pod>("app=web", |pods| pods.iter().any(|pod| is_ready(pod))).await;
    cluster.create::<Deployment>(deployment(1, "v2", &json!({}))).await.unwrap();
    let rolled = cluster.roll_out().await;
    assert_eq!(json!(rolled.metadata.annotations.unwrap()), revision("3546343826724305833"));
    let sets = cluster.sets(&[("v1", 0), ("v2", 1)]).await;
    let owned = |set: &Arc<ReplicaSet>| set.metadata.owner_references.as_ref().unwrap()[0].name == "web";
    assert!(sets.iter().all(owned), "the set that was there is adopted");
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_revisionhistorylimit() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Deployment>(deployment(1, "v1", &json!({"revisionHistoryLimit": 0}))).await.unwrap();
    cluster.roll_out().await;
    cluster.patch::<Deployment>("web", new_image("v2")).await;
    cluster.roll_out().await;
    let left = cluster.until_all::<ReplicaSet>("app=web", |sets| sets.len() == 1).await;
    assert_eq!((image_of(&left[0]), size(&left[0])), ("v2", 1));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_rollover() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    is_bad(&kubelet, "bad");
    let rolling = json!({"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}});
    cluster.create::<Deployment>(deployment(1, "v1", &rolling)).await.unwrap();
    cluster.roll_out().await;
    cluster.patch::<Deployment>("web", new_image("bad")).await;
    cluster.sets(&[("v1", 1), ("bad", 1)]).await;
    let mut chronicle = Chronicle::begin(&cluster, "web").await;
    cluster.patch::<Deployment>("web", new_image("v3")).await;
    chronicle
        .until(
            |pods| pods.len() == 1 && pods.values().all(|pod| image(pod) == "v3" && is_ready(pod)),
            |change| {
                let after =
                    change.pods.values().filter(|pod| change.old.is_none_or(|old| old.uid() != pod.uid()));
                let serving = after.chain(change.new).filter(|pod| is_ready(pod)).count();
                assert!(serving >= 1, "nobody serves");
            },
        )
        .await;
    cluster.roll_out().await;
    cluster.sets(&[("v1", 0), ("bad", 0), ("v3", 1)]).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_proportional_scaling() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    is_bad(&kubelet, "bad");
    let rolling = json!({"strategy": {"rollingUpdate": {"maxUnavailable": 2, "maxSurge": 3}}});
    cluster.create::<Deployment>(deployment(10, "v1", &rolling)).await.unwrap();
    cluster.roll_out().await;
    cluster.patch::<Deployment>("web", new_image("bad")).await;
    cluster.sets(&[("v1", 8), ("bad", 5)]).await;
    let stopped = |deployment: &Deployment| {
        let status = deployment.status.as_ref().unwrap();
        status.observed_generation == deployment.metadata.generation
            && (status.replicas, status.updated_replicas) == (Some(13), Some(5))
    };
    cluster.until::<Deployment>("web", stopped).await;
    cluster.patch::<Deployment>("web", json!({"spec": {"replicas": 30}})).await;
    cluster.sets(&[("v1", 20), ("bad", 13)]).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_completes_the_scaling_of_a_deployment_subresource() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Deployment>(deployment(1, "v1", &json!({}))).await.unwrap();
    cluster.roll_out().await;
    let api = cluster.api::<Deployment>();
    let mut scale: Scale = api.get_scale("web").await.unwrap();
    assert_eq!(scale.status.as_ref().unwrap().replicas, 1);
    // The controller writes the status meanwhile.
    scale.metadata.resource_version = None;
    scale.spec.as_mut().unwrap().replicas = Some(2);
    api.replace_scale("web", &PostParams::default(), &scale).await.unwrap();
    assert_eq!(cluster.roll_out().await.spec.unwrap().replicas, Some(2));
    let patch = Patch::Merge(json!({"spec": {"replicas": 4}}));
    api.patch_scale("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(cluster.roll_out().await.status.unwrap().available_replicas, Some(4));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment_completes_the_lifecycle_of_a_deployment() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Deployment>(deployment(1, "v1", &json!({}))).await.unwrap();
    cluster.roll_out().await;
    let mut patch = new_image("v2");
    patch["metadata"] = json!({"labels": {"patched": "yes"}});
    patch["spec"]["replicas"] = json!(2);
    cluster.patch::<Deployment>("web", patch).await;
    let rolled = cluster.roll_out().await;
    assert_eq!(rolled.labels()["patched"], "yes");
    let condition = json!({"type": "Tested", "status": "True"});
    let status = Patch::Merge(json!({"status": {"conditions": [condition]}}));
    let api = cluster.api::<Deployment>();
    api.patch_status("web", &PatchParams::default(), &status).await.unwrap();
    cluster
        .until::<Deployment>("web", |deployment| {
            // The controller keeps the condition and brings its own back.
            let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let types: Vec<_> = conditions.map(|condition| condition.type_.as_str()).collect();
            types.contains(&"Tested") && types.contains(&"Available")
        })
        .await;
    cluster.delete::<Deployment>("web").await;
    cluster.until_gone::<Deployment>("web").await;
    cluster.until_all::<Pod>("app=web", <[_]>::is_empty).await;
    cluster.plane.shutdown().await;
}

/// Undoing is writing an older template: its set comes back as the latest revision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_comes_back_finds_its_set() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Deployment>(deployment(1, "v1", &json!({}))).await.unwrap();
    cluster.roll_out().await;
    for image in ["v2", "v1"] {
        cluster.patch::<Deployment>("web", new_image(image)).await;
        cluster.roll_out().await;
    }
    let sets = cluster.sets(&[("v1", 1), ("v2", 0)]).await;
    assert_eq!(sets.len(), 2);
    let first = sets.iter().find(|set| image_of(set) == "v1").unwrap();
    assert_eq!(first.annotations()["deployment.kubernetes.io/revision"], "3");
    assert_eq!(first.annotations()["deployment.kubernetes.io/revision-history"], "1");
    cluster.plane.shutdown().await;
}
