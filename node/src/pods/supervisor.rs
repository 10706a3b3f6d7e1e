//! Watches the Pods of this node and keeps a worker for each.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::worker::Worker;
use super::{Desired, jobs};
use crate::context::{Context, chain};

/// Pods by namespace and name.
type Pods = HashMap<(String, String), Arc<Pod>>;

/// The Pods of this node by namespace and name.
#[derive(Clone, Default)]
pub(crate) struct PodIndex(Arc<RwLock<Pods>>);

impl PodIndex {
    /// The Pod, if it is bound to this node.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.0.read().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Pod>> {
        self.0.read().values().cloned().collect()
    }

    /// Remembers the Pod.
    pub(crate) fn put(&self, pod: &Arc<Pod>) {
        self.0.write().insert(key(pod), pod.clone());
    }

    /// Forgets the Pod unless another has taken its name.
    fn remove(&self, pod: &Pod) {
        let mut index = self.0.write();
        let key = key(pod);
        if index.get(&key).is_some_and(|current| current.metadata.uid == pod.metadata.uid) {
            index.remove(&key);
        }
    }
}

fn key(pod: &Pod) -> (String, String) {
    (jobs::namespace(pod).to_owned(), pod.metadata.name.clone().unwrap_or_default())
}

/// Keeps the workers.
pub(crate) struct Supervisor {
    ctx: Arc<Context>,
    index: PodIndex,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    workers: HashMap<String, watch::Sender<Desired>>,
    ended: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
    /// The pods seen in a list that is not complete yet.
    listing: Option<HashSet<String>>,
    /// Pods that had something on this node when the agent started; taken with the first complete list.
    leftovers: BTreeSet<String>,
}

impl Supervisor {
    /// A supervisor whose workers run on `tasks` until `shutdown`.
    pub(crate) fn new(
        ctx: Arc<Context>,
        index: PodIndex,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let (workers, ended) = (HashMap::new(), mpsc::unbounded_channel());
        Self { ctx, index, tasks, shutdown, workers, ended, listing: None, leftovers: BTreeSet::new() }
    }

    /// Follows the Pods of this node until `shutdown`.
    pub(crate) async fn run(mut self) {
        // Looked up before there are workers, so that nothing of a new pod is among it.
        self.leftovers = leftovers(&self.ctx).await;
        let api: Api<Pod> = Api::all(self.ctx.client.clone());
        let config = Config::default().fields(&format!("spec.nodeName={}", self.ctx.node_name));
        let mut events = std::pin::pin!(watcher(api, config).default_backoff().into_stream());
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(uid) = self.ended.1.recv() => drop(self.workers.remove(&uid)),
                event = events.next() => match event {
                    Some(Ok(event)) => self.observe(event),
                    Some(Err(error)) => warn!(error = %chain(&error), "watch of pods broke off"),
                    None => return,
                },
            }
        }
    }

    fn observe(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitApply(pod) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(jobs::uid(&pod).to_owned());
                }
                self.apply(pod);
            }
            Event::InitDone => self.listed(),
            Event::Apply(pod) => self.apply(pod),
            Event::Delete(pod) => self.gone(Arc::new(pod)),
        }
    }

    fn apply(&mut self, pod: Pod) {
        let pod = Arc::new(pod);
        self.index.put(&pod);
        let uid = jobs::uid(&pod).to_owned();
        let desired = Desired { pod, gone: false };
        if let Some(worker) = self.workers.get(&uid) {
            worker.send_replace(desired);
            return;
        }
        let (sender, receiver) = watch::channel(desired);
        let worker = Worker::new(self.ctx.clone(), receiver, self.tasks.clone());
        let (shutdown, ended) = (self.shutdown.clone(), self.ended.0.clone());
        let ctx = self.ctx.clone();
        self.workers.insert(uid.clone(), sender);
        self.tasks.spawn(async move {
            worker.run(shutdown.clone()).await;
            if !shutdown.is_cancelled() {
                ctx.logs.remove_pod(&uid);
            }
            // Without a receiver everything is ending.
            let _ending = ended.send(uid);
        });
    }

    fn gone(&mut self, pod: Arc<Pod>) {
        self.index.remove(&pod);
        if let Some(worker) = self.workers.get(jobs::uid(&pod)) {
            worker.send_replace(Desired { pod, gone: true });
        }
    }

    /// What a complete list does not name is gone.
    fn listed(&mut self) {
        let Some(listed) = self.listing.take() else { return };
        let missing: Vec<Arc<Pod>> = self
            .workers
            .iter()
            .filter(|(uid, _)| !listed.contains(*uid))
            .map(|(_, worker)| worker.borrow().pod.clone())
            .collect();
        for pod in missing {
            self.gone(pod);
        }
        let orphans: Vec<String> =
            std::mem::take(&mut self.leftovers).into_iter().filter(|uid| !listed.contains(uid)).collect();
        if !orphans.is_empty() {
            let ctx = self.ctx.clone();
            let clean = async move { remove_orphans(&ctx, orphans).await };
            let shutdown = self.shutdown.clone();
            self.tasks.spawn(async move { shutdown.run_until_cancelled(clean).await });
        }
    }
}

async fn leftovers(ctx: &Context) -> BTreeSet<String> {
    let mut pods = ctx.containers.pods();
    pods.extend(ctx.network.known().await);
    pods.extend(ctx.volumes.pods());
    pods.extend(ctx.logs.pods());
    pods
}

/// Removes what pods left that went away while the agent did not run.
async fn remove_orphans(ctx: &Context, orphans: Vec<String>) {
    for uid in orphans {
        info!(pod = %uid, "removing what a deleted pod left");
        match jobs::tear_down(ctx, &uid).await {
            Ok(()) => ctx.logs.remove_pod(&uid),
            Err(error) => warn!(pod = %uid, error, "cannot remove what a deleted pod left"),
        }
    }
}
