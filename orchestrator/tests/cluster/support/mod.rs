//! The cluster under test: a control plane, a namespace to work in, and waiting for what is to come.

pub(crate) mod kubelet;
#[path = "../../support/node_lease.rs"]
mod node_lease;
#[path = "../../support/mod.rs"]
mod setup;
pub(crate) mod workload;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wherry_orchestrator::{Config, ControlPlane, ControllerOptions};

use kubelet::Kubelet;

/// Long enough for a slow machine; a test that passes does not wait.
const PATIENCE: Duration = Duration::from_mins(1);
/// Where the tests work.
pub(crate) const NAMESPACE: &str = "test";

/// What lives in a namespace and has a type.
pub(crate) trait Object:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// A control plane with its controllers, and a namespace to work in.
pub(crate) struct Cluster {
    pub(crate) plane: ControlPlane,
    pub(crate) client: Client,
    directory: tempfile::TempDir,
}

impl Cluster {
    /// A cluster without nodes.
    pub(crate) async fn start() -> Self {
        Self::with_controllers(ControllerOptions::default()).await
    }

    /// A cluster without nodes, whose controllers go about their work so.
    pub(crate) async fn with_controllers(controllers: ControllerOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { controllers, ..setup::config(directory.path()).await };
        let plane = Box::pin(ControlPlane::start(config)).await.unwrap();
        let client = plane.client("test", "test");
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let cluster = Self { plane, client, directory };
        // Every namespace gets this one; it is counted as well.
        let root = cluster.api::<ConfigMap>();
        wait(await_condition(root, "kube-root-ca.crt", |found: Option<&ConfigMap>| found.is_some())).await;
        cluster
    }

    /// The cluster, stopped and started again with what this makes of its configuration.
    pub(crate) async fn restart(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { plane, directory, .. } = self;
        plane.shutdown().await;
        let mut config = setup::config(directory.path()).await;
        change(&mut config);
        let plane = Box::pin(ControlPlane::start(config)).await.unwrap();
        let client = plane.client("test", "test");
        Self { plane, client, directory }
    }

    /// A cluster of this many nodes, `node-0` and so on, whose Pods are taken care of.
    pub(crate) async fn with_nodes(count: usize) -> (Self, Kubelet) {
        let cluster = Self::start().await;
        let kubelet = cluster.add_nodes(count).await;
        (cluster, kubelet)
    }

    /// Adds this many nodes, and somebody who takes care of their Pods.
    pub(crate) async fn add_nodes(&self, count: usize) -> Kubelet {
        let kubelet = Kubelet::start(self.client.clone());
        for index in 0..count {
            kubelet.add_node(&format!("node-{index}"), json!({})).await;
        }
        kubelet
    }

    pub(crate) fn api<K: Object>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub(crate) async fn create<K: Object>(&self, object: Value) -> Result<K, kube::Error> {
        self.api::<K>().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
    }

    /// Applies a merge patch.
    pub(crate) async fn patch<K: Object>(&self, name: &str, patch: Value) -> K {
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    pub(crate) async fn get<K: Object>(&self, name: &str) -> K {
        self.api::<K>().get(name).await.unwrap()
    }

    /// The objects of these labels.
    pub(crate) async fn list<K: Object>(&self, labels: &str) -> Vec<K> {
        self.api::<K>().list(&ListParams::default().labels(labels)).await.unwrap().items
    }

    pub(crate) async fn delete<K: Object>(&self, name: &str) {
        self.api::<K>().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the object is as described; returns it.
    pub(crate) async fn until<K: Object>(&self, name: &str, is: impl Fn(&K) -> bool) -> K {
        let found = await_condition(self.api::<K>(), name, |found: Option<&K>| found.is_some_and(&is));
        Box::pin(wait(found)).await.unwrap()
    }

    /// Waits until there is no object of this name.
    pub(crate) async fn until_gone<K: Object>(&self, name: &str) {
        Box::pin(wait(await_condition(self.api::<K>(), name, |found: Option<&K>| found.is_none()))).await;
    }

    /// Waits until the objects of these labels are as described; returns them.
    pub(crate) async fn until_all<K: Object>(
        &self,
        labels: &str,
        are: impl Fn(&[Arc<K>]) -> bool,
    ) -> Vec<Arc<K>> {
        let (reader, writer) = reflector::store();
        let config = watcher::Config::default().labels(labels);
        let mut changes = watcher(self.api::<K>(), config).reflect(writer).boxed();
        let settled = async {
            loop {
                let event = changes.next().await.unwrap().unwrap();
                let is_part = matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                let found = reader.state();
                if !is_part && are(&found) {
                    return found;
                }
            }
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        settled.unwrap_or_else(|_| panic!("what is waited for does not come: {:#?}", reader.state()))
    }
}

/// Waits for something that must come.
pub(crate) async fn wait<T, E: Debug>(condition: impl Future<Output = Result<T, E>>) -> T {
    tokio::time::timeout(PATIENCE, condition).await.expect("the condition does not come").unwrap()
}

/// Checks that the API refused with this code.
pub(crate) fn refused<K: Debug>(answer: Result<K, kube::Error>, code: u16) {
    match answer.unwrap_err() {
        kube::Error::Api(status) => assert_eq!(status.code, code, "{status:?}"),
        other => panic!("{other:?}"),
    }
}
