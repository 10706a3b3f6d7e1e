//! Storage: claims and volumes are bound, made, kept while they are used, and reclaimed.

#![expect(clippy::needless_pass_by_value, reason = "helpers take JSON literals")]

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttributesClass};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wherry_api::local_path;
use wherry_orchestrator::UserInfo;

use crate::support::kubelet::{Fate, Kubelet};
use crate::support::{Cluster, NAMESPACE, refused, wait};

const SELECTED: &str = "volume.kubernetes.io/selected-node";

fn global<K: Resource<DynamicType = ()>>(cluster: &Cluster) -> Api<K> {
    Api::all(cluster.client.clone())
}

async fn make<K>(cluster: &Cluster, object: Value) -> K
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    global::<K>(cluster)
        .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
        .await
        .unwrap()
}

async fn until_volume(
    cluster: &Cluster,
    name: &str,
    is: impl Fn(&PersistentVolume) -> bool,
) -> PersistentVolume {
    let found =
        await_condition(global::<PersistentVolume>(cluster), name, |found: Option<&PersistentVolume>| {
            found.is_some_and(&is)
        });
    Box::pin(wait(found)).await.unwrap()
}

async fn until_gone<K>(cluster: &Cluster, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + DeserializeOwned + 'static,
{
    Box::pin(wait(await_condition(global::<K>(cluster), name, |found: Option<&K>| found.is_none()))).await;
}

fn claim(name: &str, more: Value) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": name, "labels": {"e2e": "storage"}}, "spec": spec})
}

fn volume(name: &str, more: Value) -> Value {
    let mut spec = json!({
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "e2e.example.com", "volumeHandle": "h"},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": name, "labels": {"e2e": "storage"}}, "spec": spec})
}

/// A Pod that mounts a claim.
fn pod(name: &str, volume: Value) -> Value {
    let mut volume = volume;
    volume["name"] = json!("data");
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [volume]},
    })
}

fn of_claim(name: &str) -> Value {
    json!({"persistentVolumeClaim": {"claimName": name}})
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn volume_phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn volume_name(claim: &PersistentVolumeClaim) -> String {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default()
}

/// Waits for an event of this reason about an object of this name.
async fn told(cluster: &Cluster, namespace: &str, about: &str, reason: &str) -> String {
    let events = Api::<Event>::namespaced(cluster.client.clone(), namespace);
    let config = kube::runtime::watcher::Config::default()
        .fields(&format!("reason={reason},involvedObject.name={about}"));
    let mut found =
        Box::pin(kube::runtime::WatchStreamExt::applied_objects(kube::runtime::watcher(events, config)));
    let next = futures::StreamExt::next(&mut found);
    let event = wait(async { Ok::<_, std::convert::Infallible>(next.await) }).await.unwrap().unwrap();
    event.message.unwrap_or_default()
}

/// A cluster of one node that has a directory for volumes.
async fn with_directory() -> (Cluster, Kubelet) {
    let cluster = Cluster::start().await;
    let kubelet = Kubelet::start(cluster.client.clone());
    let annotations = json!({local_path::DIRECTORY: "/data/volumes"});
    kubelet.add_node("node-0", json!({"metadata": {"annotations": annotations}})).await;
    (cluster, kubelet)
}

/// Does what the node of a volume would do once it is deleted, as that node.
async fn remove_directory(cluster: &Cluster, name: &str) {
    until_volume(cluster, name, |volume| volume.finalizers() == [local_path::FINALIZER]).await;
    let node = UserInfo::new("system:node:node-0", &["system:nodes", "system:authenticated"]);
    let volumes = Api::<PersistentVolume>::all(cluster.plane.client_as(node, "kubelet"));
    let done = json!({"metadata": {"finalizers": null}});
    volumes.patch(name, &PatchParams::default(), &Patch::Merge(done)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persistentvolumes_claims_lifecycle() {
    let cluster = Cluster::start().await;
    let volumes = global::<PersistentVolume>(&cluster);
    let labelled = ListParams::default().labels("e2e=storage");
    let all = DeleteParams::default();
    for by_collection in [false, true] {
        make::<PersistentVolume>(&cluster, volume("v", json!({"storageClassName": "e2e"}))).await;
        let made: PersistentVolumeClaim =
            cluster.create(claim("c", json!({"storageClassName": "e2e"}))).await.unwrap();
        assert_eq!(volumes.list(&labelled).await.unwrap().items.len(), 1);
        assert_eq!(cluster.list::<PersistentVolumeClaim>("").await.len(), 1);
        let bound = cluster.until::<PersistentVolumeClaim>("c", |claim| phase(claim) == "Bound").await;
        assert_eq!((bound.uid(), volume_name(&bound)), (made.uid(), "v".to_owned()));
        let bound = until_volume(&cluster, "v", |volume| volume_phase(volume) == "Bound").await;
        assert_eq!(bound.spec.unwrap().claim_ref.unwrap().uid, made.uid());
        if by_collection {
            let mut changed = volumes.get("v").await.unwrap();
            changed.labels_mut().insert("v".to_owned(), "updated".to_owned());
            let changed = volumes.replace("v", &PostParams::default(), &changed).await.unwrap();
            assert_eq!(changed.labels()["v"], "updated");
            let mut changed = cluster.get::<PersistentVolumeClaim>("c").await;
            changed.labels_mut().insert("c".to_owned(), "updated".to_owned());
            let claims = cluster.api::<PersistentVolumeClaim>();
            let changed = claims.replace("c", &PostParams::default(), &changed).await.unwrap();
            assert_eq!(changed.labels()["c"], "updated");
            claims.delete_collection(&all, &labelled).await.unwrap();
            cluster.until_gone::<PersistentVolumeClaim>("c").await;
            volumes.delete_collection(&all, &labelled).await.unwrap();
        } else {
            let patch = json!({"metadata": {"labels": {"patched": "yes"}}});
            let patched = volumes.patch("v", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
            assert_eq!(patched.labels()["patched"], "yes");
            let patched = cluster.patch::<PersistentVolumeClaim>("c", patch).await;
            assert_eq!(patched.labels()["patched"], "yes");
            cluster.delete::<PersistentVolumeClaim>("c").await;
            cluster.until_gone::<PersistentVolumeClaim>("c").await;
            volumes.delete("v", &all).await.unwrap();
        }
        until_gone::<PersistentVolume>(&cluster, "v").await;
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_gets_a_directory_of_the_node_of_its_first_pod_and_keeps_it() {
    let (cluster, _kubelet) = with_directory().await;
    cluster.create::<PersistentVolumeClaim>(claim("c", json!({}))).await.unwrap();
    let waiting = told(&cluster, NAMESPACE, "c", "WaitForFirstConsumer").await;
    assert_eq!(waiting, "waiting for first consumer to be created before binding");
    cluster.create::<Pod>(pod("p", of_claim("c"))).await.unwrap();
    let bound = cluster.until::<PersistentVolumeClaim>("c", |claim| phase(claim) == "Bound").await;
    let spec = bound.spec.clone().unwrap();
    assert_eq!(spec.storage_class_name.as_deref(), Some(local_path::CLASS), "the default class");
    let name = volume_name(&bound);
    assert_eq!(name, format!("pvc-{}", bound.uid().unwrap()));
    let made = told(&cluster, NAMESPACE, "c", "ProvisioningSucceeded").await;
    assert_eq!(made, format!("Successfully provisioned volume {name} using {}", local_path::PROVISIONER));
    let made = until_volume(&cluster, &name, |volume| volume_phase(volume) == "Bound").await;
    assert_eq!(made.spec.unwrap().local.unwrap().path, format!("/data/volumes/{name}"));
    let ready =
        |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    cluster.until::<Pod>("p", ready).await;

    // It is used, so it stays; then it goes, and takes its directory along.
    cluster.delete::<PersistentVolumeClaim>("c").await;
    let going = cluster.get::<PersistentVolumeClaim>("c").await;
    assert!(going.metadata.deletion_timestamp.is_some());
    cluster.delete::<Pod>("p").await;
    cluster.until_gone::<PersistentVolumeClaim>("c").await;
    remove_directory(&cluster, &name).await;
    until_gone::<PersistentVolume>(&cluster, &name).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_the_scheduler_selects_decides() {
    let (cluster, _kubelet) = with_directory().await;
    let mut missing = claim("missing", json!({}));
    missing["metadata"]["annotations"] = json!({SELECTED: "node-9"});
    cluster.create::<PersistentVolumeClaim>(missing).await.unwrap();
    let failed = told(&cluster, NAMESPACE, "missing", "ProvisioningFailed").await;
    assert_eq!(failed, "Failed to get target node: node \"node-9\" not found");
    let again = |claim: &PersistentVolumeClaim| !claim.annotations().contains_key(SELECTED);
    cluster.until::<PersistentVolumeClaim>("missing", again).await;
    cluster
        .patch::<PersistentVolumeClaim>("missing", json!({"metadata": {"annotations": {SELECTED: "node-0"}}}))
        .await;
    let bound = cluster.until::<PersistentVolumeClaim>("missing", |claim| phase(claim) == "Bound").await;

    // A volume of a node that is gone for good does not wait for it.
    cluster.delete::<PersistentVolumeClaim>("missing").await;
    let name = volume_name(&bound);
    until_volume(&cluster, &name, |volume| volume.finalizers() == [local_path::FINALIZER]).await;
    global::<k8s_openapi::api::core::v1::Node>(&cluster)
        .delete("node-0", &DeleteParams::default())
        .await
        .unwrap();
    until_gone::<PersistentVolume>(&cluster, &name).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_is_kept_reclaimed_or_lost() {
    let cluster = Cluster::start().await;
    let policies = [("Retain", "Released"), ("Delete", "Failed"), ("Recycle", "Failed")];
    for (policy, after) in policies {
        let name = policy.to_lowercase();
        let spec = json!({
            "storageClassName": name, "persistentVolumeReclaimPolicy": policy, "csi": null,
            "hostPath": {"path": "/data"},
        });
        make::<PersistentVolume>(&cluster, volume(&name, spec)).await;
        cluster
            .create::<PersistentVolumeClaim>(claim(&name, json!({"storageClassName": name})))
            .await
            .unwrap();
        cluster.until::<PersistentVolumeClaim>(&name, |claim| phase(claim) == "Bound").await;
        cluster.delete::<PersistentVolumeClaim>(&name).await;
        until_volume(&cluster, &name, |volume| volume_phase(volume) == after).await;
    }
    told(&cluster, "default", "recycle", "VolumeFailedRecycle").await;
    told(&cluster, "default", "delete", "VolumeFailedDelete").await;

    // A bound volume that is deleted stays until its claim goes.
    let kept = json!({"claimRef": {"namespace": NAMESPACE, "name": "kept"}, "storageClassName": "none"});
    make::<PersistentVolume>(&cluster, volume("kept", kept)).await;
    cluster.create::<PersistentVolumeClaim>(claim("kept", json!({"storageClassName": ""}))).await.unwrap();
    cluster.until::<PersistentVolumeClaim>("kept", |claim| phase(claim) == "Bound").await;
    global::<PersistentVolume>(&cluster).delete("kept", &DeleteParams::default()).await.unwrap();
    assert!(
        global::<PersistentVolume>(&cluster).get("kept").await.unwrap().metadata.deletion_timestamp.is_some()
    );
    let force = json!({"metadata": {"finalizers": null}});
    global::<PersistentVolume>(&cluster)
        .patch("kept", &PatchParams::default(), &Patch::Merge(force))
        .await
        .unwrap();
    cluster.until::<PersistentVolumeClaim>("kept", |claim| phase(claim) == "Lost").await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_without_a_class_gets_the_default_one_later() {
    let cluster = Cluster::start().await;
    let classes = global::<StorageClass>(&cluster);
    let default =
        |is: &str| json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": is}}});
    let patch = async |name: &str, is: &str| {
        classes.patch(name, &PatchParams::default(), &Patch::Merge(default(is))).await.unwrap()
    };
    patch(local_path::CLASS, "false").await;
    cluster.create::<PersistentVolumeClaim>(claim("c", json!({}))).await.unwrap();
    let message = told(&cluster, NAMESPACE, "c", "FailedBinding").await;
    assert_eq!(message, "no persistent volumes available for this claim and no storage class is set");
    patch(local_path::CLASS, "true").await;
    let classed = |claim: &PersistentVolumeClaim| {
        claim.spec.as_ref().unwrap().storage_class_name.as_deref() == Some(local_path::CLASS)
    };
    cluster.until::<PersistentVolumeClaim>("c", classed).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_claim_grows_if_its_class_lets_it() {
    let (cluster, _kubelet) = with_directory().await;
    let mut selected = claim("c", json!({}));
    selected["metadata"]["annotations"] = json!({SELECTED: "node-0"});
    cluster.create::<PersistentVolumeClaim>(selected).await.unwrap();
    cluster.until::<PersistentVolumeClaim>("c", |claim| phase(claim) == "Bound").await;
    let more = json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}});
    cluster.patch::<PersistentVolumeClaim>("c", more.clone()).await;
    let holds = |claim: &PersistentVolumeClaim| {
        let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
        capacity.is_some_and(|capacity| capacity["storage"].0 == "3Gi")
    };
    let grown = cluster.until::<PersistentVolumeClaim>("c", holds).await;
    let larger = global::<PersistentVolume>(&cluster).get(&volume_name(&grown)).await.unwrap();
    assert_eq!(larger.spec.unwrap().capacity.unwrap()["storage"].0, "3Gi");
    told(&cluster, NAMESPACE, "c", "VolumeResizeSuccessful").await;

    make::<PersistentVolume>(&cluster, volume("v", json!({"storageClassName": "none"}))).await;
    cluster.create::<PersistentVolumeClaim>(claim("d", json!({"storageClassName": "none"}))).await.unwrap();
    cluster.until::<PersistentVolumeClaim>("d", |claim| phase(claim) == "Bound").await;
    let claims = cluster.api::<PersistentVolumeClaim>();
    refused(claims.patch("d", &PatchParams::default(), &Patch::Merge(more)).await, 403);
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_volume_has_a_claim_that_goes_with_its_pod() {
    let (cluster, kubelet) = with_directory().await;
    kubelet.rule(|_| Some(Fate::Ready));
    let template =
        json!({"metadata": {"labels": {"made": "for-a-pod"}}, "spec": claim("x", json!({}))["spec"]});
    let ephemeral = json!({"ephemeral": {"volumeClaimTemplate": template}});
    cluster.create::<Pod>(pod("p", ephemeral.clone())).await.unwrap();
    let made = cluster.until::<PersistentVolumeClaim>("p-data", |claim| phase(claim) == "Bound").await;
    assert_eq!(made.labels()["made"], "for-a-pod");
    assert_eq!(made.owner_references()[0].name, "p");
    cluster.delete::<Pod>("p").await;
    cluster.until_gone::<PersistentVolumeClaim>("p-data").await;

    // A claim of somebody else is not taken.
    cluster.create::<PersistentVolumeClaim>(claim("q-data", json!({}))).await.unwrap();
    cluster.create::<Pod>(pod("q", ephemeral)).await.unwrap();
    let message = told(&cluster, NAMESPACE, "q", "FailedBinding").await;
    let owner = format!("PVC {NAMESPACE}/q-data was not created for pod {NAMESPACE}/q (pod is not owner)");
    assert_eq!(message, format!("ephemeral volume data: {owner}"));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_of_attributes_stays_while_a_claim_wants_it() {
    let cluster = Cluster::start().await;
    let class =
        json!({"metadata": {"name": "gold"}, "driverName": "e2e.example.com", "parameters": {"iops": "1"}});
    make::<VolumeAttributesClass>(&cluster, class).await;
    let wanting = claim("c", json!({"volumeAttributesClassName": "gold", "storageClassName": ""}));
    cluster.create::<PersistentVolumeClaim>(wanting).await.unwrap();
    let classes = global::<VolumeAttributesClass>(&cluster);
    classes.delete("gold", &DeleteParams::default()).await.unwrap();
    told(&cluster, NAMESPACE, "c", "FailedBinding").await;
    assert!(classes.get("gold").await.unwrap().metadata.deletion_timestamp.is_some());
    cluster.delete::<PersistentVolumeClaim>("c").await;
    until_gone::<VolumeAttributesClass>(&cluster, "gold").await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_of_a_stateful_set_mounts_its_own_claim() {
    let (cluster, _kubelet) = with_directory().await;
    let mount = json!({"name": "data", "mountPath": "/data"});
    let set = json!({"metadata": {"name": "web"}, "spec": {
        "serviceName": "web", "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [mount]}]},
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("x", json!({}))["spec"]}],
    }});
    let mut broken = set.clone();
    broken["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!("other");
    refused(cluster.create::<StatefulSet>(broken).await, 422);
    cluster.create::<StatefulSet>(set).await.unwrap();
    let running =
        |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    for ordinal in 0..2 {
        let pod = cluster.until::<Pod>(&format!("web-{ordinal}"), running).await;
        let volumes = pod.spec.unwrap().volumes.unwrap();
        let volume = volumes.into_iter().find(|volume| volume.name == "data").unwrap();
        let name = volume.persistent_volume_claim.unwrap().claim_name;
        assert_eq!(name, format!("data-web-{ordinal}"));
        assert_eq!(
            phase(&cluster.get::<PersistentVolumeClaim>(&name).await),
            "Bound",
            "bound before it is placed"
        );
    }
    cluster.plane.shutdown().await;
}
