//! Aggregation with the real controllers and a real HTTPS server behind the API: what conformance says of it, and that
//! what such a server keeps goes with its namespace and with its owners.

mod sample;
pub(crate) mod server;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::await_condition;
use kube::{Api, Discovery, ResourceExt};
use sample::{GROUP, VERSION};
use serde_json::{Value, json};
use server::Server;

use crate::support::{Cluster, NAMESPACE, wait};

/// A cluster, and a server behind it.
struct Aggregated {
    cluster: Cluster,
    _sample: Server,
}

impl Aggregated {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let sample = sample::start(&cluster).await;
        sample.register(&cluster, GROUP, VERSION).await;
        Self { cluster, _sample: sample }
    }

    async fn namespace(&self, name: &str) {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let api = Api::<Namespace>::all(self.cluster.client.clone());
        api.create(&PostParams::default(), &namespace).await.unwrap();
    }

    fn services(&self) -> Api<APIService> {
        Api::all(self.cluster.client.clone())
    }

    fn flunders(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, "Flunder");
        let kind = ApiResource::from_gvk_with_plural(&kind, "flunders");
        Api::namespaced_with(self.cluster.client.clone(), namespace, &kind)
    }

    async fn flunder(&self, namespace: &str, metadata: Value) -> DynamicObject {
        let object = json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Flunder", "metadata": metadata,
                            "spec": {"reference": "fischer"}});
        let object = serde_json::from_value(object).unwrap();
        self.flunders(namespace).create(&PostParams::default(), &object).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregator_supports_the_sample_apiserver() {
    let both = Aggregated::start().await;
    let made = both.flunder(NAMESPACE, json!({"name": "a"})).await;
    assert_eq!(made.data["spec"]["reference"], "fischer");
    let flunders = both.flunders(NAMESPACE);
    let listed = flunders.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["a"]);
    let discovery = Discovery::new(both.cluster.client.clone()).run().await.unwrap();
    assert_eq!(discovery.get(GROUP).unwrap().preferred_version(), Some(VERSION));
    flunders.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(flunders.list(&ListParams::default()).await.unwrap().items.len(), 0);
    let name = format!("{VERSION}.{GROUP}");
    both.services().delete(&name, &DeleteParams::default()).await.unwrap();
    assert!(flunders.list(&ListParams::default()).await.unwrap_err().to_string().contains("404"));
    both.cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_keeps_goes_with_its_namespace_and_its_owner() {
    let both = Aggregated::start().await;
    both.namespace("work").await;
    let maps: Api<ConfigMap> = Api::namespaced(both.cluster.client.clone(), "work");
    let owner = serde_json::from_value(json!({"metadata": {"name": "owner"}})).unwrap();
    let owner = maps.create(&PostParams::default(), &owner).await.unwrap();
    let reference =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid().unwrap()});
    let owned = both.flunder("work", json!({"name": "owned", "ownerReferences": [reference]})).await;
    both.flunder("work", json!({"name": "free"})).await;
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    let flunders = both.flunders("work");
    let is_gone = |found: Option<&DynamicObject>| found.is_none();
    wait(await_condition(flunders.clone(), &owned.name_any(), is_gone)).await;
    assert!(flunders.get_opt("free").await.unwrap().is_some());

    let namespaces: Api<Namespace> = Api::all(both.cluster.client.clone());
    namespaces.delete("work", &DeleteParams::default()).await.unwrap();
    wait(await_condition(namespaces, "work", |found: Option<&Namespace>| found.is_none())).await;
    assert!(flunders.get_opt("free").await.unwrap().is_none());
    both.cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_stays_while_nobody_can_tell_what_is_in_it() {
    let both = Aggregated::start().await;
    both.namespace("work").await;
    let services: Api<Service> = Api::namespaced(both.cluster.client.clone(), NAMESPACE);
    services.delete("sample", &DeleteParams::default()).await.unwrap();
    let name = format!("{VERSION}.{GROUP}");
    let is_lost = |service: Option<&APIService>| {
        let conditions =
            service.and_then(|service| service.status.as_ref()?.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|condition| condition.reason.as_deref() == Some("ServiceNotFound"))
    };
    wait(await_condition(both.services(), &name, is_lost)).await;
    let namespaces: Api<Namespace> = Api::all(both.cluster.client.clone());
    namespaces.delete("work", &DeleteParams::default()).await.unwrap();
    let is_told = |found: Option<&Namespace>| {
        let conditions =
            found.and_then(|found| found.status.as_ref()?.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|condition| {
            condition.type_ == "NamespaceDeletionDiscoveryFailure" && condition.status == "True"
        })
    };
    wait(await_condition(namespaces.clone(), "work", is_told)).await;
    both.services().delete(&name, &DeleteParams::default()).await.unwrap();
    wait(await_condition(namespaces, "work", |found: Option<&Namespace>| found.is_none())).await;
    both.cluster.plane.shutdown().await;
}
