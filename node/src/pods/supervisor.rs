//! Watches the Pods of this node, and those of manifests, and keeps a worker for each.

mod manifests;

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

use super::backoff::setup_delay;
use super::worker::Worker;
use super::{Desired, jobs};
use crate::context::{Context, chain};
use crate::static_pods::{Mirrors, StaticPods, is_mirror, is_static, of_api};

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
    /// What manifests name.
    manifests: watch::Receiver<StaticPods>,
    /// What the API shows of it.
    mirrors: Mirrors,
    ended: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
    /// The pods seen in a list that is not complete yet.
    listing: Option<HashSet<String>>,
    /// Pods that had something on this node when the agent started; taken with the first complete list.
    leftovers: BTreeSet<String>,
}

impl Supervisor {
    /// A supervisor of these static Pods and of the API's, whose workers run on `tasks` until `shutdown`.
    pub(crate) fn new(
        ctx: Arc<Context>,
        index: PodIndex,
        manifests: watch::Receiver<StaticPods>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            ctx,
            index,
            tasks,
            shutdown,
            workers: HashMap::new(),
            manifests,
            mirrors: Mirrors::default(),
            ended: mpsc::unbounded_channel(),
            listing: None,
            leftovers: BTreeSet::new(),
        }
    }

    /// Follows the Pods of this node until `shutdown`.
    pub(crate) async fn run(mut self) {
        // Looked up before there are workers, so that nothing of a new pod is among it.
        self.leftovers = leftovers(&self.ctx).await;
        self.begin_manifests().await;
        let api: Api<Pod> = Api::all(self.ctx.client.clone());
        let config = Config::default().fields(&format!("spec.nodeName={}", self.ctx.node_name));
        let mut events = std::pin::pin!(watcher(api, config).default_backoff().into_stream());
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(uid) = self.ended.1.recv() => self.ended(&uid),
                // Without a directory of manifests nothing changes.
                Ok(()) = self.manifests.changed() => self.run_manifests(),
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
        let pod = Arc::new(of_api(pod));
        if is_mirror(&pod) {
            self.mirrored(&pod);
            return;
        }
        let worker = self.workers.get(jobs::uid(&pod));
        let desired = Desired { pod, mirror: None, gone: false };
        if let Some(worker) = worker {
            self.index.put(&desired.pod);
            worker.send_replace(desired);
            return;
        }
        self.start(desired);
    }

    /// Gives the Pod a worker.
    fn start(&mut self, desired: Desired) {
        self.index.put(&desired.pod);
        let uid = jobs::uid(&desired.pod).to_owned();
        let (sender, receiver) = watch::channel(desired);
        let worker = Worker::new(self.ctx.clone(), receiver, self.tasks.clone());
        let (shutdown, ended) = (self.shutdown.clone(), self.ended.0.clone());
        let ctx = self.ctx.clone();
        self.workers.insert(uid.clone(), sender);
        self.tasks.spawn(async move {
            let pod = worker.run(shutdown.clone()).await;
            if !shutdown.is_cancelled() {
                ctx.logs.remove(&pod);
            }
            // Without a receiver everything is ending.
            let _ending = ended.send(uid);
        });
    }

    fn gone(&mut self, pod: Arc<Pod>) {
        if is_mirror(&pod) {
            self.not_mirrored(&pod);
            return;
        }
        self.index.remove(&pod);
        if let Some(worker) = self.workers.get(jobs::uid(&pod)) {
            worker.send_replace(Desired { pod, mirror: None, gone: true });
        }
    }

    fn ended(&mut self, uid: &str) {
        if let Some(worker) = self.workers.remove(uid) {
            self.index.remove(&worker.borrow().pod);
        }
        // A static Pod may have waited for the name.
        self.run_manifests();
    }

    /// What a complete list does not name is gone.
    fn listed(&mut self) {
        let Some(listed) = self.listing.take() else { return };
        let missing: Vec<Arc<Pod>> = self
            .workers
            .iter()
            .filter(|(uid, _)| !listed.contains(*uid))
            .map(|(_, worker)| worker.borrow().pod.clone())
            .filter(|pod| !is_static(pod))
            .collect();
        self.mirrors.listed(&listed);
        for pod in missing {
            self.gone(pod);
        }
        let is_orphan = |uid: &String| !listed.contains(uid) && !self.workers.contains_key(uid);
        let orphans: Vec<String> =
            std::mem::take(&mut self.leftovers).into_iter().filter(is_orphan).collect();
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
    pods.extend(ctx.user_ids.pods());
    pods.extend(ctx.managers.holders());
    pods.extend(ctx.logs.pods());
    pods
}

/// Removes what pods left that went away while the agent did not run. What cannot be undone yet, for instance because the driver of
/// a volume has not registered again, is tried ever less often.
async fn remove_orphans(ctx: &Context, mut orphans: Vec<String>) {
    for failures in 1.. {
        let mut left = Vec::new();
        for uid in orphans {
            info!(pod = %uid, "removing what a deleted pod left");
            match jobs::tear_down(ctx, &uid).await {
                Ok(()) => ctx.logs.remove_unknown(&uid),
                Err(error) => {
                    warn!(pod = %uid, error, "cannot remove what a deleted pod left");
                    left.push(uid);
                }
            }
        }
        if left.is_empty() {
            return;
        }
        orphans = left;
        tokio::time::sleep(setup_delay(failures)).await;
    }
}
