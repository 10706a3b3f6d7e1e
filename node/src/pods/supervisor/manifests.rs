//! What the supervisor does about static Pods: runs what manifests name, one Pod of a name at a time, and says what mirrors show.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;

use super::{Supervisor, key, remove_orphans};
use crate::pods::{Desired, jobs};
use crate::static_pods::{Wish, is_hash, is_static, shows};

impl Supervisor {
    /// Begins with the static Pods, none of which waits for the API server. Those of before that no manifest names any more end first:
    /// another may have their names and ports.
    pub(super) async fn begin_manifests(&mut self) {
        let named = self.named();
        let is_old = |uid: &String| is_hash(uid) && !named.contains(uid);
        let old: Vec<String> = self.leftovers.extract_if(.., is_old).collect();
        if !old.is_empty() {
            let shutdown = self.shutdown.clone();
            shutdown.run_until_cancelled(remove_orphans(&self.ctx, old)).await;
        }
        let (client, node) = (self.ctx.client.clone(), self.ctx.node_name.clone());
        self.tasks.spawn(self.mirrors.clone().keep(client, node, self.shutdown.clone()));
        self.run_manifests();
    }

    /// Brings the workers to what manifests name.
    pub(super) fn run_manifests(&mut self) {
        let named = self.named();
        let pods = self.manifests.borrow_and_update().clone();
        for worker in self.workers.values().filter(|worker| is_static(&worker.borrow().pod)) {
            let goes = !named.contains(jobs::uid(&worker.borrow().pod));
            worker.send_if_modified(|desired| goes && !std::mem::replace(&mut desired.gone, true));
        }
        for pod in pods {
            if !self.is_taken(&pod) {
                self.start(Desired { mirror: self.mirror_of(&pod), pod, gone: false });
            }
        }
        self.show_manifests();
    }

    fn named(&self) -> HashSet<String> {
        self.manifests.borrow().iter().map(|pod| jobs::uid(pod).to_owned()).collect()
    }

    /// Whether some Pod of this name is here, if only because it ends yet.
    fn is_taken(&self, pod: &Pod) -> bool {
        self.workers.values().any(|worker| key(&worker.borrow().pod) == key(pod))
    }

    fn mirror_of(&self, pod: &Pod) -> Option<Arc<Pod>> {
        self.mirrors.get(&key(pod)).filter(|mirror| shows(mirror, pod))
    }

    /// The API is to show what runs; of what ends it shows what it showed.
    fn show_manifests(&self) {
        let wish = |worker: &watch::Sender<Desired>| {
            let Desired { pod, gone, .. } = &*worker.borrow();
            let wish = if *gone { Wish::Keep } else { Wish::Show(pod.clone()) };
            is_static(pod).then(|| (key(pod), wish))
        };
        let wishes: BTreeMap<_, _> = self.workers.values().filter_map(wish).collect();
        self.mirrors.want(wishes);
    }

    /// The API shows this of a static Pod.
    pub(super) fn mirrored(&self, mirror: &Arc<Pod>) {
        self.mirrors.seen(mirror.clone());
        for worker in self.workers.values() {
            let own = |desired: &Desired| {
                is_static(&desired.pod) && key(&desired.pod) == key(mirror) && shows(mirror, &desired.pod)
            };
            worker.send_if_modified(|desired| {
                let own = own(desired);
                if own {
                    desired.mirror = Some(mirror.clone());
                }
                own
            });
        }
    }

    /// The API shows this no longer.
    pub(super) fn not_mirrored(&self, mirror: &Pod) {
        self.mirrors.gone(mirror);
        for worker in self.workers.values() {
            let is_it = |shown: &mut Arc<Pod>| shown.metadata.uid == mirror.metadata.uid;
            worker.send_if_modified(|desired| desired.mirror.take_if(is_it).is_some());
        }
    }
}
