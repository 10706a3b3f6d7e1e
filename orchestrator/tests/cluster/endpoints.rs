//! Endpoints and EndpointSlices: what conformance says of those of Pods, and of those that people write.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::kubelet::Fate;

const OF_SERVICE: &str = "kubernetes.io/service-name=web";

fn service(spec: &Value) -> Value {
    json!({"metadata": {"name": "web"}, "spec": spec})
}

fn selecting() -> Value {
    let ports = json!([{"name": "http", "port": 80, "targetPort": "http"}, {"name": "other", "port": 81, "targetPort": 8081}]);
    service(&json!({"selector": {"app": "web"}, "ports": ports}))
}

/// A Pod whose port `http` has this number.
fn pod(name: &str, port: i32) -> Value {
    let container = json!({"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": port}]});
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [container]}})
}

/// Addresses with `!` for those not ready, and ports, of all slices in order.
fn shown(slices: &[Arc<EndpointSlice>]) -> Vec<(Vec<String>, Vec<i32>)> {
    let mut shown: Vec<_> = slices.iter().map(|slice| one(slice)).collect();
    shown.sort();
    shown
}

fn one(slice: &EndpointSlice) -> (Vec<String>, Vec<i32>) {
    let mut addresses: Vec<_> = slice
        .endpoints
        .iter()
        .flatten()
        .map(|endpoint| {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true);
            format!("{}{}", endpoint.addresses[0], if ready { "" } else { "!" })
        })
        .collect();
    addresses.sort();
    let mut ports: Vec<_> = slice.ports.iter().flatten().filter_map(|port| port.port).collect();
    ports.sort_unstable();
    (addresses, ports)
}

fn ip(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap()
}

impl Cluster {
    async fn slices(&self, are: impl Fn(&[Arc<EndpointSlice>]) -> bool) -> Vec<Arc<EndpointSlice>> {
        self.until_all::<EndpointSlice>(OF_SERVICE, are).await
    }

    /// Makes two Pods, of which one has another number for a port by name, and waits until they are ready.
    async fn two_pods(&self) -> [String; 2] {
        for (name, port) in [("one", 8080), ("two", 9090)] {
            self.create::<Pod>(pod(name, port)).await.unwrap();
        }
        let mut ips = Vec::new();
        for name in ["one", "two"] {
            ips.push(ip(&self.until::<Pod>(name, crate::support::workload::is_ready).await));
        }
        ips.try_into().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpointslice_creation_deletion() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Service>(selecting()).await.unwrap();
    let [one, two] = cluster.two_pods().await;
    let mut wanted = vec![(vec![one.clone()], vec![8080, 8081]), (vec![two.clone()], vec![8081, 9090])];
    wanted.sort();
    let slices = cluster.slices(|slices| shown(slices) == wanted).await;
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.clone().unwrap_or_default());
    for endpoint in endpoints {
        assert_eq!(endpoint.node_name.as_deref(), Some("node-0"));
        assert_eq!(endpoint.target_ref.unwrap().kind.as_deref(), Some("Pod"));
    }
    let has_both = |endpoints: &Endpoints| endpoints.subsets.iter().flatten().count() == 2;
    cluster.until::<Endpoints>("web", has_both).await;
    kubelet.make("two", Fate::Running);
    let unready = format!("{two}!");
    cluster.slices(|slices| shown(slices).iter().any(|(addresses, _)| *addresses == [unready.clone()])).await;
    cluster.delete::<Pod>("one").await;
    cluster.slices(|slices| shown(slices) == [(vec![unready.clone()], vec![8081, 9090])]).await;
    cluster.delete::<Service>("web").await;
    cluster.until_gone::<Endpoints>("web").await;
    cluster.slices(<[_]>::is_empty).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpointslice_empty_service() {
    let cluster = Cluster::start().await;
    cluster.create::<Service>(selecting()).await.unwrap();
    let slices = cluster.slices(|slices| slices.len() == 1).await;
    assert_eq!(shown(&slices), [(vec![], vec![])]);
    let labels = slices[0].labels();
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    cluster.until::<Endpoints>("web", |endpoints| endpoints.subsets.is_none()).await;
    cluster.delete::<Service>("web").await;
    cluster.until_gone::<Endpoints>("web").await;
    cluster.slices(<[_]>::is_empty).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_creation_deletion() {
    let (cluster, kubelet) = Cluster::with_nodes(1).await;
    cluster.create::<Service>(selecting()).await.unwrap();
    let ips = cluster.two_pods().await;
    let ready = |endpoints: &Endpoints| -> Vec<String> {
        let addresses =
            endpoints.subsets.iter().flatten().flat_map(|subset| subset.addresses.iter().flatten());
        let mut ips: Vec<_> = addresses.map(|address| address.ip.clone()).collect();
        ips.sort();
        ips
    };
    let mut sorted = ips.to_vec();
    sorted.sort();
    let endpoints = cluster.until::<Endpoints>("web", |endpoints| ready(endpoints) == sorted).await;
    assert_eq!(endpoints.labels()["endpoints.kubernetes.io/managed-by"], "endpoint-controller");
    kubelet.make("one", Fate::Running);
    let not_ready = |endpoints: &Endpoints| {
        let mut addresses =
            endpoints.subsets.iter().flatten().flat_map(|subset| subset.not_ready_addresses.iter().flatten());
        addresses.any(|address| address.ip == ips[0]) && ready(endpoints) == [ips[1].clone()]
    };
    cluster.until::<Endpoints>("web", not_ready).await;
    for name in ["one", "two"] {
        cluster.delete::<Pod>(name).await;
    }
    cluster.until::<Endpoints>("web", |endpoints| endpoints.subsets.is_none()).await;
    cluster.delete::<Service>("web").await;
    cluster.until_gone::<Endpoints>("web").await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_empty_service() {
    let cluster = Cluster::start().await;
    cluster.create::<Service>(selecting()).await.unwrap();
    cluster.until::<Endpoints>("web", |endpoints| endpoints.subsets.is_none()).await;
    cluster.slices(|slices| slices.len() == 1).await;
    cluster.delete::<Service>("web").await;
    cluster.until_gone::<Endpoints>("web").await;
    cluster.slices(<[_]>::is_empty).await;
    cluster.plane.shutdown().await;
}

fn written(ips: &[&str]) -> Value {
    let addresses: Vec<_> = ips.iter().map(|ip| json!({ "ip": ip })).collect();
    json!([{"addresses": addresses, "ports": [{"name": "http", "port": 9090}]}])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpointslice_mirroring() {
    let cluster = Cluster::start().await;
    cluster.create::<Service>(service(&json!({"ports": [{"name": "http", "port": 80}]}))).await.unwrap();
    let endpoints =
        json!({"metadata": {"name": "web", "labels": {"team": "a"}}, "subsets": written(&["10.1.2.3"])});
    cluster.create::<Endpoints>(endpoints).await.unwrap();
    let is = |slices: &[Arc<EndpointSlice>], ips: &[&str]| {
        let ips = ips.iter().map(|ip| (*ip).to_owned()).collect();
        shown(slices) == [(ips, vec![9090])]
    };
    let slices = cluster.slices(|slices| is(slices, &["10.1.2.3"])).await;
    let labels = slices[0].labels();
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslicemirroring-controller.k8s.io");
    assert_eq!(labels["team"], "a");
    cluster.patch::<Endpoints>("web", json!({"subsets": written(&["10.2.3.4", "10.2.3.5"])})).await;
    let again = cluster.slices(|slices| is(slices, &["10.2.3.4", "10.2.3.5"])).await;
    assert_eq!(again[0].metadata.name, slices[0].metadata.name, "the slice stays and changes");
    cluster.delete::<Endpoints>("web").await;
    cluster.slices(<[_]>::is_empty).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_begins_to_select_is_not_mirrored_any_more() {
    let cluster = Cluster::start().await;
    cluster.create::<Service>(service(&json!({"ports": [{"name": "http", "port": 80}]}))).await.unwrap();
    let endpoints = json!({"metadata": {"name": "web"}, "subsets": written(&["10.1.2.3"])});
    cluster.create::<Endpoints>(endpoints).await.unwrap();
    cluster.slices(|slices| slices.len() == 1).await;
    cluster.patch::<Service>("web", json!({"spec": {"selector": {"app": "web"}}})).await;
    cluster.slices(|slices| shown(slices) == [(vec![], vec![])]).await;
    cluster.patch::<Service>("web", json!({"spec": {"selector": null}})).await;
    cluster
        .patch::<Endpoints>(
            "web",
            json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}),
        )
        .await;
    let ours = |slice: &EndpointSlice| {
        slice.labels()["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    };
    cluster.slices(|slices| !slices.iter().any(|slice| ours(slice))).await;
    cluster.plane.shutdown().await;
}
