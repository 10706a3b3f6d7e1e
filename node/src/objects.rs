//! ConfigMaps and Secrets that pods of this node refer to, each followed by its own watch.
//!
//! # Guarantees
//! - An object is watched while at least one pod refers to it, and only then.
//! - The pods that refer to an object are woken when it appears, changes or goes.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::wakers::Wakers;

/// A reference could not be followed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// The API server refused or could not be reached.
    #[error("cannot read {kind} {namespace}/{name}: {reason}")]
    Read {
        /// The kind of the object.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the API server said.
        reason: String,
    },
}

/// The followed objects of all pods.
pub(crate) struct Objects {
    config_maps: Cache<ConfigMap>,
    secrets: Cache<Secret>,
}

impl Objects {
    /// Follows nothing yet; watches run on `tasks`.
    pub(crate) fn new(client: &Client, wakers: &Wakers, tasks: &TaskTracker) -> Self {
        Self {
            config_maps: Cache::new("configmap", client, wakers, tasks),
            secrets: Cache::new("secret", client, wakers, tasks),
        }
    }

    /// The ConfigMap, followed for the pod `uid` from now on; `None` if there is none.
    pub(crate) async fn config_map(
        &self,
        uid: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<ConfigMap>>, ObjectError> {
        self.config_maps.get(uid, namespace, name).await
    }

    /// The Secret, followed for the pod `uid` from now on; `None` if there is none.
    pub(crate) async fn secret(
        &self,
        uid: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Secret>>, ObjectError> {
        self.secrets.get(uid, namespace, name).await
    }

    /// Ends what is followed for the pod alone.
    pub(crate) fn release(&self, uid: &str) {
        self.config_maps.release(uid);
        self.secrets.release(uid);
    }
}

/// What a watch knows about its object.
enum Known<K> {
    NotYet,
    Read(Option<Arc<K>>),
    Failed(String),
}

struct Entry<K> {
    known: watch::Receiver<Known<K>>,
    pods: Arc<Mutex<BTreeSet<String>>>,
    /// Ends the watch when the last pod lets go.
    _watch: DropGuard,
}

struct Cache<K> {
    kind: &'static str,
    client: Client,
    wakers: Wakers,
    tasks: TaskTracker,
    entries: Mutex<HashMap<(String, String), Entry<K>>>,
}

impl<K> Cache<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    fn new(kind: &'static str, client: &Client, wakers: &Wakers, tasks: &TaskTracker) -> Self {
        let (client, wakers, tasks) = (client.clone(), wakers.clone(), tasks.clone());
        Self { kind, client, wakers, tasks, entries: Mutex::default() }
    }

    async fn get(&self, uid: &str, namespace: &str, name: &str) -> Result<Option<Arc<K>>, ObjectError> {
        let mut known = self.subscribe(uid, namespace, name);
        let failed = |reason: String| ObjectError::Read {
            kind: self.kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            reason,
        };
        match known.wait_for(|known| !matches!(known, Known::NotYet)).await.as_deref() {
            Ok(Known::Read(object)) => Ok(object.clone()),
            Ok(Known::Failed(reason)) => Err(failed(reason.clone())),
            Ok(Known::NotYet) | Err(_) => Err(failed("the watch ended".to_owned())),
        }
    }

    fn subscribe(&self, uid: &str, namespace: &str, name: &str) -> watch::Receiver<Known<K>> {
        let mut entries = self.entries.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let entry = entries.entry(key).or_insert_with(|| self.start(namespace, name));
        entry.pods.lock().insert(uid.to_owned());
        entry.known.clone()
    }

    fn start(&self, namespace: &str, name: &str) -> Entry<K> {
        let (sender, known) = watch::channel(Known::NotYet);
        let pods = Arc::new(Mutex::new(BTreeSet::new()));
        let stop = CancellationToken::new();
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let task = follow(api, name.to_owned(), sender, pods.clone(), self.wakers.clone());
        let stopped = stop.clone();
        self.tasks.spawn(async move { stopped.run_until_cancelled(task).await });
        Entry { known, pods, _watch: stop.drop_guard() }
    }

    fn release(&self, uid: &str) {
        self.entries.lock().retain(|_, entry| {
            let mut pods = entry.pods.lock();
            pods.remove(uid);
            !pods.is_empty()
        });
    }
}

async fn follow<K>(
    api: Api<K>,
    name: String,
    sender: watch::Sender<Known<K>>,
    pods: Arc<Mutex<BTreeSet<String>>>,
    wakers: Wakers,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut objects = std::pin::pin!(watch_object(api, &name).default_backoff());
    while let Some(next) = objects.next().await {
        match next {
            Ok(object) => {
                let first = matches!(*sender.borrow(), Known::NotYet);
                sender.send_replace(Known::Read(object.map(Arc::new)));
                if first {
                    continue;
                }
            }
            // What was read stays valid while the API server is away.
            Err(_) if matches!(*sender.borrow(), Known::Read(_)) => continue,
            Err(error) => {
                sender.send_replace(Known::Failed(error.to_string()));
            }
        }
        let pods: Vec<String> = pods.lock().iter().cloned().collect();
        for uid in pods {
            wakers.wake_for_reference(&uid);
        }
    }
}
