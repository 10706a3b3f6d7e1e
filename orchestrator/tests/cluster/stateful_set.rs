//! StatefulSets: what conformance says of order, updates and failed Pods.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::kubelet::Fate;
use crate::support::workload::{Change, Chronicle, image, is_going, is_ready, template};

fn set(replicas: i32, more: &Value) -> Value {
    let mut spec = json!({
        "replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": template("web", "v1"),
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec})
}

fn new_image(image: &str) -> Value {
    json!({"spec": {"template": template("web", image)}})
}

fn partition(partition: i32) -> Value {
    json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}})
}

fn is_serving(pods: &BTreeMap<String, Pod>, count: usize) -> bool {
    pods.len() == count && pods.values().all(|pod| is_ready(pod) && !is_going(pod))
}

fn status(set: &StatefulSet) -> StatefulSetStatus {
    let observed = set.status.as_ref().and_then(|status| status.observed_generation);
    let status = set.status.clone().unwrap_or_default();
    if observed == set.metadata.generation { status } else { StatefulSetStatus::default() }
}

fn ordinal(pod: &Pod) -> usize {
    pod.name_any().rsplit_once('-').unwrap().1.parse().unwrap()
}

/// A Pod comes only if all before it serve, and goes only if all behind it are gone.
fn in_order(change: &Change<'_>) {
    let serves = |pod: &Pod| is_ready(pod) && !is_going(pod);
    if let (None, Some(new)) = (change.old, change.new) {
        let before = change.pods.values().filter(|pod| ordinal(pod) < ordinal(new));
        assert_eq!(before.filter(|pod| serves(pod)).count(), ordinal(new), "{} is early", new.name_any());
    }
    if let (Some(old), Some(new)) = (change.old, change.new)
        && is_going(new)
        && !is_going(old)
    {
        assert!(
            change.pods.values().all(|pod| ordinal(pod) <= ordinal(new)),
            "{} goes early",
            new.name_any()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statefulset_scaling() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    let mut chronicle = Chronicle::begin(&cluster, "web").await;
    cluster.create::<StatefulSet>(set(2, &json!({}))).await.unwrap();
    chronicle.until(|pods| is_serving(pods, 2), in_order).await;
    // One is broken: nothing comes until it is well again.
    cluster.until::<StatefulSet>("web", |set| status(set).ready_replicas == Some(2)).await;
    kubelet.make("web-1", Fate::Running);
    cluster.until::<StatefulSet>("web", |set| status(set).ready_replicas == Some(1)).await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 4}})).await;
    cluster.until::<StatefulSet>("web", |set| status(set).replicas == 2).await;
    kubelet.make("web-1", Fate::Ready);
    chronicle.until(|pods| is_serving(pods, 4), in_order).await;
    // One is broken: nothing goes until it is well again.
    cluster.until::<StatefulSet>("web", |set| status(set).ready_replicas == Some(4)).await;
    kubelet.make("web-0", Fate::Running);
    cluster.until::<StatefulSet>("web", |set| status(set).ready_replicas == Some(3)).await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 1}})).await;
    cluster.until::<StatefulSet>("web", |set| status(set).replicas == 4).await;
    assert_eq!(cluster.list::<Pod>("app=web").await.iter().filter(|pod| is_going(pod)).count(), 0);
    kubelet.make("web-0", Fate::Ready);
    chronicle.until(|pods| is_serving(pods, 1), in_order).await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 0}})).await;
    chronicle.until(BTreeMap::is_empty, in_order).await;
    let none = cluster.until::<StatefulSet>("web", |set| status(set).replicas == 0).await;
    assert_eq!(status(&none).available_replicas, Some(0), "what is told is what the controller wrote");
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statefulset_burst_scaling() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    kubelet.rule(|_| Some(Fate::Running));
    let parallel = json!({"podManagementPolicy": "Parallel"});
    cluster.create::<StatefulSet>(set(2, &parallel)).await.unwrap();
    let mut chronicle = Chronicle::begin(&cluster, "web").await;
    chronicle.until(|pods| pods.len() == 2, |_| {}).await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 4}})).await;
    chronicle.until(|pods| pods.len() == 4, |_| {}).await;
    assert!(cluster.list::<Pod>("app=web").await.iter().all(|pod| !is_ready(pod)));
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 0}})).await;
    chronicle.until(BTreeMap::is_empty, |_| {}).await;
    cluster.until::<StatefulSet>("web", |set| status(set).replicas == 0).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statefulset_recreate_failed_pod() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<StatefulSet>(set(1, &json!({}))).await.unwrap();
    let first = cluster.until::<Pod>("web-0", is_ready).await;
    kubelet.make_this(&first, Fate::Failed(1));
    cluster.until::<Pod>("web-0", |pod| pod.uid() != first.uid() && is_ready(pod)).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statefulset_resource_replica_scaling() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<StatefulSet>(set(1, &json!({}))).await.unwrap();
    cluster.until::<StatefulSet>("web", |set| status(set).ready_replicas == Some(1)).await;
    let api = cluster.api::<StatefulSet>();
    let mut scale: Scale = api.get_scale("web").await.unwrap();
    assert_eq!(
        (scale.spec.as_ref().unwrap().replicas, scale.status.as_ref().unwrap().replicas),
        (Some(1), 1)
    );
    // The controller writes the status meanwhile.
    scale.metadata.resource_version = None;
    scale.spec.as_mut().unwrap().replicas = Some(2);
    api.replace_scale("web", &PostParams::default(), &scale).await.unwrap();
    cluster.until::<StatefulSet>("web", |set| status(set).ready_replicas == Some(2)).await;
    assert_eq!(cluster.get::<StatefulSet>("web").await.spec.unwrap().replicas, Some(2));
    cluster.plane.shutdown().await;
}

/// Only one Pod is missing at a time, and those behind are of the new revision.
fn one_by_one(change: &Change<'_>) {
    if let (Some(old), Some(new)) = (change.old, change.new)
        && is_going(new)
        && !is_going(old)
    {
        let others = change.pods.values().filter(|pod| pod.name_any() != new.name_any());
        let serving = others.clone().filter(|pod| is_ready(pod) && !is_going(pod)).count();
        assert_eq!(serving, 2, "{} goes while another is missing", new.name_any());
        let behind = others.filter(|pod| ordinal(pod) > ordinal(new));
        assert!(
            behind.into_iter().all(|pod| image(pod) != image(new)),
            "{} goes out of turn",
            new.name_any()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statefulset_rolling_update() {
    let (cluster, kubelet) = Cluster::with_nodes(2).await;
    cluster.create::<StatefulSet>(set(3, &json!({}))).await.unwrap();
    let settled = |set: &StatefulSet| {
        let status = status(set);
        status.ready_replicas == Some(3)
            && status.updated_replicas == Some(3)
            && status.current_revision == status.update_revision
    };
    let first = status(&cluster.until::<StatefulSet>("web", settled).await);
    for (image_wanted, revisions) in [("v2", [1, 2]), ("v1", [2, 3])] {
        let mut chronicle = Chronicle::begin(&cluster, "web").await;
        // The first Pod to go stays until the status was seen to tell of both revisions.
        kubelet.linger(|_| true);
        cluster.patch::<StatefulSet>("web", new_image(image_wanted)).await;
        let under_way = cluster.until::<StatefulSet>("web", |set| {
            status(set).update_revision.is_some()
                && status(set).update_revision != status(set).current_revision
        });
        Box::pin(under_way).await;
        kubelet.linger(|_| false);
        let all_new = |pods: &BTreeMap<String, Pod>| {
            is_serving(pods, 3) && pods.values().all(|pod| image(pod) == image_wanted)
        };
        chronicle.until(all_new, one_by_one).await;
        cluster.until::<StatefulSet>("web", settled).await;
        let mut held: Vec<_> =
            cluster.list::<ControllerRevision>("app=web").await.iter().map(|held| held.revision).collect();
        held.sort_unstable();
        assert_eq!(held, revisions);
    }
    let last = status(&cluster.get::<StatefulSet>("web").await);
    assert_eq!(
        last.current_revision, first.current_revision,
        "the template that came back has its revision back"
    );
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statefulset_rolling_update_with_partition() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    cluster.create::<StatefulSet>(set(3, &partition(3))).await.unwrap();
    cluster.until::<StatefulSet>("web", |set| status(set).ready_replicas == Some(3)).await;
    cluster.patch::<StatefulSet>("web", new_image("v2")).await;
    let held_back = |set: &StatefulSet| {
        let status = status(set);
        status.update_revision != status.current_revision && status.updated_replicas.is_none()
    };
    cluster.until::<StatefulSet>("web", held_back).await;
    // A canary, then a Pod on either side is deleted.
    let canary = json!({"spec": partition(2)});
    cluster.patch::<StatefulSet>("web", canary).await;
    let images = |pods: &BTreeMap<String, Pod>, wanted: [&str; 3]| {
        is_serving(pods, 3) && pods.values().map(image).eq(wanted)
    };
    let mut chronicle = Chronicle::begin(&cluster, "web").await;
    chronicle.until(|pods| images(pods, ["v1", "v1", "v2"]), one_by_one).await;
    for name in ["web-0", "web-2"] {
        let before = cluster.get::<Pod>(name).await;
        cluster.delete::<Pod>(name).await;
        let back = cluster.until::<Pod>(name, |pod| pod.uid() != before.uid() && is_ready(pod)).await;
        assert_eq!(image(&back), image(&before));
    }
    // Phase by phase.
    for (phase, wanted) in [(1, ["v1", "v2", "v2"]), (0, ["v2", "v2", "v2"])] {
        cluster.patch::<StatefulSet>("web", json!({"spec": partition(phase)})).await;
        chronicle.until(|pods| images(pods, wanted), |_| {}).await;
    }
    let done = |set: &StatefulSet| status(set).update_revision == status(set).current_revision;
    cluster.until::<StatefulSet>("web", done).await;
    cluster.plane.shutdown().await;
}

/// Claims come with the set, outlive Pods, and go as the policy says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_follow_their_policy() {
    let (cluster, _kubelet) = Cluster::with_nodes(1).await;
    let resources = json!({"requests": {"storage": "1Gi"}});
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": resources});
    let claims = json!({
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}], "podManagementPolicy": "Parallel",
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Retain"},
    });
    cluster.create::<StatefulSet>(set(2, &claims)).await.unwrap();
    for name in ["data-web-0", "data-web-1"] {
        let found = cluster.until::<PersistentVolumeClaim>(name, |_| true).await;
        assert_eq!(found.labels()["app"], "web");
    }
    cluster.until::<StatefulSet>("web", |set| status(set).replicas == 2).await;
    cluster.patch::<StatefulSet>("web", json!({"spec": {"replicas": 1}})).await;
    cluster.until_gone::<PersistentVolumeClaim>("data-web-1").await;
    cluster.delete::<StatefulSet>("web").await;
    cluster.until_gone::<Pod>("web-0").await;
    let kept = cluster.get::<PersistentVolumeClaim>("data-web-0").await;
    assert!(kept.metadata.deletion_timestamp.is_none());
    cluster.plane.shutdown().await;
}
