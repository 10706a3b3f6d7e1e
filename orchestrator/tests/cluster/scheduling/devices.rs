//! Devices that Pods claim: given by the scheduler, made and cleaned up by the controllers.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice};
use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::node_of;
use crate::support::kubelet::Fate;
use crate::support::{Cluster, NAMESPACE};

const DRIVER: &str = "gpu.example.com";
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

async fn make<K>(cluster: &Cluster, object: Value)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let object = serde_json::from_value(object).unwrap();
    Api::<K>::all(cluster.client.clone()).create(&PostParams::default(), &object).await.unwrap();
}

/// A class, and a slice of one device on `node-1`.
async fn offer_one(cluster: &Cluster) {
    let selector = json!({"cel": {"expression": format!("device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].memory >= 40")}});
    make::<DeviceClass>(cluster, json!({"metadata": {"name": "gpu"}, "spec": {"selectors": [selector]}}))
        .await;
    let device = json!({"name": "gpu-0", "attributes": {"memory": {"int": 40}}});
    let small = json!({"name": "small", "attributes": {"memory": {"int": 4}}});
    let pool = json!({"name": "node-1", "generation": 1, "resourceSliceCount": 1});
    let spec = json!({"driver": DRIVER, "pool": pool, "nodeName": "node-1", "devices": [small, device]});
    make::<ResourceSlice>(cluster, json!({"metadata": {"name": "slice"}, "spec": spec})).await;
}

fn devices() -> Value {
    json!({"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}})
}

fn pod(name: &str, claim: &Value) -> Value {
    let container = json!({"name": "c", "image": "i", "resources": {"claims": [{"name": "gpu"}]}});
    let mut asked = json!({"name": "gpu"});
    asked.as_object_mut().unwrap().extend(claim.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": {"containers": [container], "resourceClaims": [asked]}})
}

/// The devices that a claim has.
fn devices_of(claim: &ResourceClaim) -> Vec<String> {
    let allocation = claim.status.as_ref().and_then(|status| status.allocation.as_ref()?.devices.clone());
    let results = allocation.and_then(|devices| devices.results).unwrap_or_default();
    results.into_iter().map(|result| result.device).collect()
}

fn users_of(claim: &ResourceClaim) -> Vec<String> {
    let users = claim.status.as_ref().and_then(|status| status.reserved_for.clone()).unwrap_or_default();
    users.into_iter().map(|user| user.name).collect()
}

/// The name of the claim that was made for a Pod.
fn claim_of(pod: &Pod) -> Option<String> {
    let made = pod.status.as_ref()?.resource_claim_statuses.as_ref()?;
    made.first()?.resource_claim_name.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_one_pods_until_it_is_done_and_then_the_nexts() {
    let (cluster, kubelet) = Cluster::with_nodes(3).await;
    offer_one(&cluster).await;
    let template = json!({"metadata": {"name": "one"}, "spec": {"spec": devices()}});
    cluster.create::<ResourceClaimTemplate>(template).await.unwrap();
    let from_template = json!({"resourceClaimTemplateName": "one"});
    assert_eq!(cluster.run(pod("first", &from_template)).await, "node-1");
    let first = claim_of(&cluster.get::<Pod>("first").await).unwrap();
    assert!(first.starts_with("first-gpu-"), "{first}");
    let claim = cluster.get::<ResourceClaim>(&first).await;
    assert_eq!((devices_of(&claim), users_of(&claim)), (vec!["gpu-0".to_owned()], vec!["first".to_owned()]));
    assert_eq!(claim.finalizers(), [FINALIZER]);

    cluster.create::<Pod>(pod("second", &from_template)).await.unwrap();
    let expected = "0/3 nodes are available: 3 cannot allocate all claims.";
    cluster
        .until::<Pod>("second", |pod| {
            super::unschedulable(pod).is_some_and(|message| message.starts_with(expected))
        })
        .await;
    kubelet.rule(|pod| (pod.name_any() == "first").then_some(Fate::Succeeded));
    cluster.until_gone::<ResourceClaim>(&first).await;
    let second = cluster.until::<Pod>("second", |pod| node_of(pod).is_some()).await;
    assert_eq!(node_of(&second), Some("node-1"));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_share_a_claim_that_is_given_back_by_the_last() {
    let (cluster, _kubelet) = Cluster::with_nodes(2).await;
    offer_one(&cluster).await;
    let claim = json!({"metadata": {"name": "shared", "namespace": NAMESPACE}, "spec": devices()});
    cluster.create::<ResourceClaim>(claim).await.unwrap();
    for name in ["one", "two"] {
        assert_eq!(cluster.run(pod(name, &json!({"resourceClaimName": "shared"}))).await, "node-1");
    }
    let claim = cluster.get::<ResourceClaim>("shared").await;
    assert_eq!((devices_of(&claim).len(), users_of(&claim)), (1, vec!["one".to_owned(), "two".to_owned()]));
    cluster.delete::<Pod>("one").await;
    let claim = cluster.until::<ResourceClaim>("shared", |claim| users_of(claim) == ["two"]).await;
    assert_eq!(devices_of(&claim), ["gpu-0"], "somebody uses it");
    cluster.delete::<Pod>("two").await;
    let is_back = |claim: &ResourceClaim| devices_of(claim).is_empty() && claim.finalizers().is_empty();
    cluster.until::<ResourceClaim>("shared", is_back).await;
    cluster.plane.shutdown().await;
}
