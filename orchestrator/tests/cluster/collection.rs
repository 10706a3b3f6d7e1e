//! Garbage collection and the end of namespaces, with the real controllers: what conformance says of them.
//!
//! No node runs here, so a Pod that is deleted is gone at once.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ReplicationController, Service};
use kube::api::{DeleteParams, PostParams, PropagationPolicy};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::{Cluster, NAMESPACE, Object, wait};

const HOLD: &str = "example.com/hold";

impl Cluster {
    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    async fn delete_by<K: Object>(&self, name: &str, policy: PropagationPolicy) {
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        self.api::<K>().delete(name, &params).await.unwrap();
    }

    /// The names of the first so many objects of an app that there are or will be.
    async fn named<K: Object>(&self, app: &str, count: usize) -> Vec<String> {
        let found = self.until_all::<K>(&format!("app={app}"), |found| found.len() == count).await;
        found.iter().map(|object| object.name_any()).collect()
    }

    /// A ReplicationController, as owner references name it.
    async fn controller(&self, name: &str, replicas: usize) -> Value {
        let template = json!({"metadata": {"labels": {"app": name}}, "spec": containers()});
        let spec = json!({"replicas": replicas, "selector": {"app": name}, "template": template});
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let made: ReplicationController = self.create(object).await.unwrap();
        json!({"apiVersion": "v1", "kind": "ReplicationController", "name": name, "uid": made.uid().unwrap()})
    }

    /// The Pods of a ReplicationController that is made for them.
    async fn replicated(&self, name: &str) -> Vec<String> {
        self.controller(name, 4).await;
        self.named::<Pod>(name, 4).await
    }

    async fn pod(&self, name: &str, mut metadata: Value) -> Pod {
        metadata["name"] = json!(name);
        self.create(json!({"metadata": metadata, "spec": containers()})).await.unwrap()
    }

    /// A Deployment with the name of its ReplicaSet and those of its Pods.
    async fn deployment(&self) -> (String, Vec<String>) {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": containers()});
        let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template});
        self.create::<Deployment>(json!({"metadata": {"name": "a"}, "spec": spec})).await.unwrap();
        (self.named::<ReplicaSet>("a", 1).await.remove(0), self.named::<Pod>("a", 2).await)
    }

    async fn owners<K: Object>(&self, name: &str) -> Vec<String> {
        let object = self.get::<K>(name).await;
        assert_eq!(object.meta().deletion_timestamp, None, "{name}");
        object.owner_references().iter().map(|owner| owner.name.clone()).collect()
    }

    async fn delete_namespace(&self) {
        self.namespaces().delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
    }

    async fn namespace_until(&self, wanted: impl Fn(Option<&Namespace>) -> bool) {
        let condition =
            await_condition(self.namespaces(), NAMESPACE, |found: Option<&Namespace>| wanted(found));
        Box::pin(wait(condition)).await;
    }

    /// Makes the namespace anew.
    async fn new_namespace(&self) {
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
        self.namespaces().create(&PostParams::default(), &namespace).await.unwrap();
    }
}

fn containers() -> Value {
    json!({"containers": [{"name": "c", "image": "example.com/image"}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collector_delete_deployment_propagation_policy_background() {
    let cluster = Cluster::start().await;
    let (set, pods) = cluster.deployment().await;
    cluster.delete_by::<Deployment>("a", PropagationPolicy::Background).await;
    cluster.until_gone::<ReplicaSet>(&set).await;
    for pod in &pods {
        cluster.until_gone::<Pod>(pod).await;
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collector_delete_deployment_propagation_policy_orphan() {
    let cluster = Cluster::start().await;
    let (set, pods) = cluster.deployment().await;
    cluster.delete_by::<Deployment>("a", PropagationPolicy::Orphan).await;
    cluster.until_gone::<Deployment>("a").await;
    cluster.until::<ReplicaSet>(&set, |set| set.owner_references().is_empty()).await;
    for pod in &pods {
        assert_eq!(cluster.owners::<Pod>(pod).await, [set.as_str()]);
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collector_delete_replication_controller_propagation_policy_background() {
    let cluster = Cluster::start().await;
    let pods = cluster.replicated("rc").await;
    cluster.delete_by::<ReplicationController>("rc", PropagationPolicy::Background).await;
    for pod in &pods {
        cluster.until_gone::<Pod>(pod).await;
    }
    cluster.until_gone::<ReplicationController>("rc").await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collector_delete_replication_controller_propagation_policy_orphan() {
    let cluster = Cluster::start().await;
    let pods = cluster.replicated("rc").await;
    cluster.delete_by::<ReplicationController>("rc", PropagationPolicy::Orphan).await;
    cluster.until_gone::<ReplicationController>("rc").await;
    for pod in &pods {
        assert!(cluster.owners::<Pod>(pod).await.is_empty());
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collector_delete_replication_controller_after_owned_pods() {
    let cluster = Cluster::start().await;
    let pods = cluster.replicated("rc").await;
    let (last, others) = pods.split_last().unwrap();
    cluster.patch::<Pod>(last, json!({"metadata": {"finalizers": [HOLD]}})).await;
    cluster.delete_by::<ReplicationController>("rc", PropagationPolicy::Foreground).await;
    for pod in others {
        cluster.until_gone::<Pod>(pod).await;
    }
    cluster.until::<Pod>(last, |pod| pod.metadata.deletion_timestamp.is_some()).await;
    let controller = cluster.get::<ReplicationController>("rc").await;
    assert!(controller.metadata.deletion_timestamp.is_some());
    assert_eq!(controller.finalizers(), ["foregroundDeletion"]);
    cluster.patch::<Pod>(last, json!({"metadata": {"finalizers": null}})).await;
    cluster.until_gone::<ReplicationController>("rc").await;
    cluster.until_gone::<Pod>(last).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collector_multiple_owners() {
    let cluster = Cluster::start().await;
    let one = cluster.controller("one", 4).await;
    let other = cluster.controller("other", 0).await;
    let pods = cluster.named::<Pod>("one", 4).await;
    let (shared, own) = pods.split_at(2);
    for pod in shared {
        let mut owners = json!([one, other]);
        owners[0]["controller"] = json!(true);
        owners[0]["blockOwnerDeletion"] = json!(true);
        cluster.patch::<Pod>(pod, json!({"metadata": {"ownerReferences": owners}})).await;
    }
    cluster.delete_by::<ReplicationController>("one", PropagationPolicy::Foreground).await;
    cluster.until_gone::<ReplicationController>("one").await;
    for pod in own {
        cluster.until_gone::<Pod>(pod).await;
    }
    for pod in shared {
        assert_eq!(cluster.owners::<Pod>(pod).await, ["other"]);
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_collector_dependency_cycle() {
    let cluster = Cluster::start().await;
    let names = ["pod1", "pod2", "pod3"];
    let mut uids = Vec::new();
    for name in names {
        uids.push(cluster.pod(name, json!({})).await.uid().unwrap());
    }
    for (index, name) in names.iter().enumerate() {
        let of = (index + 2) % 3;
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": names[of], "uid": uids[of],
                           "controller": true, "blockOwnerDeletion": true});
        cluster.patch::<Pod>(name, json!({"metadata": {"ownerReferences": [owner]}})).await;
    }
    cluster.delete_by::<Pod>("pod1", PropagationPolicy::Foreground).await;
    for name in names {
        cluster.until_gone::<Pod>(name).await;
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespace_deletion_removes_pods() {
    let cluster = Cluster::start().await;
    cluster.pod("a", json!({})).await;
    cluster.pod("b", json!({})).await;
    cluster.delete_namespace().await;
    cluster.namespace_until(|found| found.is_none()).await;
    cluster.new_namespace().await;
    assert!(cluster.list::<Pod>("").await.is_empty());
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespace_deletion_removes_services() {
    let cluster = Cluster::start().await;
    let spec = json!({"selector": {"a": "b"}, "ports": [{"port": 80}]});
    cluster.create::<Service>(json!({"metadata": {"name": "s"}, "spec": spec})).await.unwrap();
    cluster.delete_namespace().await;
    cluster.namespace_until(|found| found.is_none()).await;
    cluster.new_namespace().await;
    assert!(cluster.api::<Service>().get_opt("s").await.unwrap().is_none());
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_namespace_deletion() {
    let cluster = Cluster::start().await;
    cluster.pod("p", json!({"finalizers": [HOLD]})).await;
    cluster.create::<ConfigMap>(json!({"metadata": {"name": "m"}})).await.unwrap();
    cluster.delete_namespace().await;
    let told = |namespace: Option<&Namespace>, type_: &str, text: &str| {
        let status = namespace.and_then(|namespace| namespace.status.clone()).unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let found =
            conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True");
        found.is_some_and(|found| found.message.as_deref().unwrap_or_default().ends_with(text))
    };
    cluster
        .namespace_until(|found| {
            told(found, "NamespaceContentRemaining", "pods. has 1 resource instances")
                && told(found, "NamespaceFinalizersRemaining", "example.com/hold in 1 resource instances")
        })
        .await;
    assert!(cluster.get::<Pod>("p").await.metadata.deletion_timestamp.is_some());
    assert_eq!(cluster.get::<ConfigMap>("m").await.metadata.deletion_timestamp, None);
    cluster.patch::<Pod>("p", json!({"metadata": {"finalizers": null}})).await;
    cluster.namespace_until(|found| found.is_none()).await;
    cluster.plane.shutdown().await;
}
