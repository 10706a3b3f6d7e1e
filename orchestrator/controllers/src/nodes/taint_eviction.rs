//! Taint eviction: Pods that do not tolerate a NoExecute taint of their node are deleted, at once or when their patience ends.
//!
//! Flow: a Pod is looked at when it is bound, when its tolerations change, and when such taints of its node change. When it is
//! to go later, that is remembered, so that it can be told when it may stay after all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use super::eviction::{driving, evict_at};
use super::node_of;
use crate::context::{Caches, Context};
use crate::objects::meta::{Key, reference, uid};
use crate::objects::pods::is_terminating;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};

/// Keys are those of Pods.
pub(crate) struct TaintEvictionController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
    /// Since when Pods have been seen beside taints, by key and uid.
    seen: Mutex<HashMap<Key, (String, Timestamp)>>,
}

impl Controller for TaintEvictionController {
    const NAME: &'static str = "taint-eviction-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let (wake, pods) = (queue.clone(), context.caches.pods.clone());
        context.caches.nodes.on_change(move |change| {
            let taints = |node: &Node| driving(node).into_iter().cloned().collect::<Vec<_>>();
            let [before, now] =
                [change.old, change.new].map(|node| node.map(|node| taints(node)).unwrap_or_default());
            let Some(node) = change.last().filter(|_| before != now) else { return };
            let name = node.name_any();
            for pod in pods.all().into_iter().filter(|pod| node_of(pod) == name) {
                wake.add(Key::of(&*pod));
            }
        });
        let (wake, nodes) = (queue.clone(), context.caches.nodes.clone());
        context.caches.pods.on_change(move |change| {
            let Some(pod) = change.last().filter(|pod| !node_of(pod).is_empty()) else { return };
            let what = |pod: &Pod| {
                let spec = pod.spec.as_ref();
                (node_of(pod).to_owned(), spec.and_then(|spec| spec.tolerations.clone()), is_terminating(pod))
            };
            let is_tainted = || nodes.get_global(node_of(pod)).is_some_and(|node| !driving(&node).is_empty());
            if is_tainted() && change.old.map(|pod| what(pod)) != change.new.map(|pod| what(pod)) {
                wake.add(Key::of(&**pod));
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
            seen: Mutex::default(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(pod) = self.caches.pods.get(key).filter(|pod| !is_terminating(pod)) else {
            self.seen.lock().remove(key);
            return Ok(Next::OnChange);
        };
        let node = self.caches.nodes.get_global(node_of(&pod));
        let taints = node.as_deref().map(driving).unwrap_or_default();
        let now = self.clock.now();
        let seen = self.seen_since(key, &pod, now);
        let Some(at) = evict_at(&pod, &taints, seen.unwrap_or(now)) else {
            if self.seen.lock().remove(key).is_some() {
                self.tell(&pod, format!("Cancelling deletion of Pod {}/{}", key.namespace, key.name));
            }
            return Ok(Next::OnChange);
        };
        match Duration::try_from(at.duration_since(now)) {
            Ok(left) if !left.is_zero() => {
                self.seen.lock().entry(key.clone()).or_insert_with(|| (uid(&pod.metadata).to_owned(), now));
                Ok(Next::After(left))
            }
            Ok(_) | Err(_) => self.evict(&pod).await.map(|()| Next::OnChange),
        }
    }
}

impl TaintEvictionController {
    /// Since when this very Pod has been seen beside taints.
    fn seen_since(&self, key: &Key, pod: &Pod, now: Timestamp) -> Option<Timestamp> {
        let mut seen = self.seen.lock();
        let (known, since) = seen.get_mut(key)?;
        if known != uid(&pod.metadata) {
            uid(&pod.metadata).clone_into(known);
            *since = now;
        }
        Some(*since)
    }

    /// Says in the Pod why it goes, then deletes it.
    async fn evict(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        self.tell(pod, format!("Marking for deletion Pod {namespace}/{name}"));
        let api = Api::<Pod>::namespaced(self.client.clone(), &namespace);
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": self.clock.now(),
            "observedGeneration": pod.metadata.generation,
        });
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
        match api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            written => drop(written.step("saying why a Pod is evicted")?),
        }
        let deleted = delete(&api, &pod.metadata, Only::This, DeleteParams::default()).await;
        deleted.step("evicting a Pod").map(drop)
    }

    fn tell(&self, pod: &Pod, message: String) {
        let (component, severity, reason) = (Self::NAME, Severity::Normal, "TaintManagerEviction");
        self.recorder.event(reference(pod), Notice { component, severity, reason, message });
    }
}
