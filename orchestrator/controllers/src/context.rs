//! What every controller is built from: the client, the shared caches, the clock and the event recorder.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, Pod, ResourceQuota, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::runtime::backoff::Jitter;
use crate::runtime::cache::Cache;
use crate::runtime::everything::Everything;
use crate::runtime::recorder::Recorder;
use crate::runtime::watch::follow;

/// See the module's documentation.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) config: Config,
    pub(crate) caches: Arc<Caches>,
    pub(crate) everything: Arc<Everything>,
    pub(crate) recorder: Recorder,
    pub(crate) jitter: Arc<Jitter>,
    pub(crate) shutdown: CancellationToken,
}

/// One cache for each kind that some controller reads.
#[derive(Default)]
pub(crate) struct Caches {
    pub(crate) deployments: Arc<Cache<Deployment>>,
    pub(crate) replica_sets: Arc<Cache<ReplicaSet>>,
    pub(crate) pods: Arc<Cache<Pod>>,
    pub(crate) services: Arc<Cache<Service>>,
    pub(crate) endpoint_slices: Arc<Cache<EndpointSlice>>,
    pub(crate) endpoints: Arc<Cache<Endpoints>>,
    pub(crate) namespaces: Arc<Cache<Namespace>>,
    pub(crate) nodes: Arc<Cache<Node>>,
    pub(crate) leases: Arc<Cache<Lease>>,
    pub(crate) service_accounts: Arc<Cache<ServiceAccount>>,
    pub(crate) resource_quotas: Arc<Cache<ResourceQuota>>,
    /// Only the ConfigMaps named `kube-root-ca.crt`.
    pub(crate) root_cas: Arc<Cache<ConfigMap>>,
}

impl Context {
    /// Starts one watch for each cache.
    pub(crate) fn watch_all(&self, tasks: &mut JoinSet<()>) {
        let all = watcher::Config::default;
        let caches = &self.caches;
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.deployments);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.replica_sets);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.pods);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.services);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.endpoint_slices);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.endpoints);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.namespaces);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.nodes);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.leases);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.service_accounts);
        self.watch(tasks, Api::all(self.client.clone()), all(), &caches.resource_quotas);
        let root_ca = all().fields("metadata.name=kube-root-ca.crt");
        self.watch(tasks, Api::all(self.client.clone()), root_ca, &caches.root_cas);
    }

    fn watch<K>(&self, tasks: &mut JoinSet<()>, api: Api<K>, config: watcher::Config, cache: &Arc<Cache<K>>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (cache, jitter, shutdown) = (cache.clone(), self.jitter.clone(), self.shutdown.clone());
        tasks.spawn(async move {
            let open = move || watcher::watcher(api.clone(), config.clone()).boxed();
            let sink = |event: watcher::Event<K>| {
                cache.apply(event.modify(|object| object.meta_mut().managed_fields = None));
            };
            follow(&K::kind(&()), open, sink, &jitter, shutdown).await;
        });
    }
}

impl Caches {
    /// Lets the caches that hold all objects of their kind speak for it.
    pub(crate) fn speak_to(&self, everything: &Arc<Everything>) {
        everything.hear(&self.deployments);
        everything.hear(&self.replica_sets);
        everything.hear(&self.pods);
        everything.hear(&self.services);
        everything.hear(&self.endpoint_slices);
        everything.hear(&self.endpoints);
        everything.hear(&self.namespaces);
        everything.hear(&self.nodes);
        everything.hear(&self.leases);
        everything.hear(&self.service_accounts);
        everything.hear(&self.resource_quotas);
    }

    /// Waits until every cache has been filled.
    pub(crate) async fn synced(&self) {
        self.deployments.synced().await;
        self.replica_sets.synced().await;
        self.pods.synced().await;
        self.services.synced().await;
        self.endpoint_slices.synced().await;
        self.endpoints.synced().await;
        self.namespaces.synced().await;
        self.nodes.synced().await;
        self.leases.synced().await;
        self.service_accounts.synced().await;
        self.resource_quotas.synced().await;
        self.root_cas.synced().await;
    }
}
