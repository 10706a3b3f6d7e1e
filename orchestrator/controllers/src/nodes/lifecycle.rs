//! Node lifecycle: notices nodes that stop renewing their Lease, taints them, and moves their Pods away in time.
//!
//! Assumptions: clocks of nodes are not trusted. A node is heard of when we see its Lease change, by our clock;
//! after a start of our own every node gets the whole grace period again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use super::eviction::evict_at;
use super::health::{UNREACHABLE, judge};
use crate::context::{Caches, Context};
use crate::objects::meta::reference;
use crate::objects::pods::is_terminating;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};

const LEASES: &str = "kube-node-lease";

/// Keys are names of nodes.
pub(crate) struct NodeLifecycleController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
    grace: Duration,
    /// When each node was last heard of.
    heard: Arc<Mutex<HashMap<String, Timestamp>>>,
}

impl Controller for NodeLifecycleController {
    const NAME: &'static str = "node-lifecycle-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let heard = Arc::new(Mutex::new(HashMap::new()));
        let (caches, clock) = (context.caches.clone(), context.config.clock.clone());
        let (wake, last, now) = (queue.clone(), heard.clone(), clock.clone());
        caches.nodes.on_change(move |change| {
            let Some(node) = change.last() else { return };
            if change.new.is_none() {
                last.lock().remove(&node.name_any());
                return;
            }
            last.lock().entry(node.name_any()).or_insert_with(|| now.now());
            wake.add(node.name_any());
        });
        let (wake, last, now, nodes) = (queue.clone(), heard.clone(), clock.clone(), caches.nodes.clone());
        caches.leases.on_change(move |change| {
            let Some(lease) = change.new.filter(|lease| lease.metadata.namespace.as_deref() == Some(LEASES))
            else {
                return;
            };
            let name = lease.name_any();
            let Some(node) = nodes.get_global(&name) else { return };
            last.lock().insert(name.clone(), now.now());
            // Otherwise the deadline already set finds the new time.
            if has_taint(&node, UNREACHABLE) {
                wake.add(name);
            }
        });
        let (wake, nodes) = (queue.clone(), caches.nodes.clone());
        caches.pods.on_change(move |change| {
            let pod = change.new.filter(|_| change.old.is_none_or(|old| node_of(old).is_empty()));
            let Some(name) = pod.map(|pod| node_of(pod)).filter(|name| !name.is_empty()) else { return };
            if nodes.get_global(name).is_some_and(|node| drives_away(&node)) {
                wake.add(name.to_owned());
            }
        });
        let (client, grace) = (context.client.clone(), context.config.node_grace);
        Self { client, caches, recorder: context.recorder.clone(), clock, grace, heard }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let Some(node) = self.caches.nodes.get_global(name) else { return Ok(Next::OnChange) };
        let now = self.clock.now();
        let last_heard = *self.heard.lock().entry(name.clone()).or_insert(now);
        let health = judge(&node, last_heard, self.grace, now);
        if let Some(conditions) = &health.conditions {
            let patch = json!({ "status": { "conditions": conditions } });
            self.patch(&node, "status", patch).await?;
            self.tell(&node);
        }
        if let Some(taints) = &health.taints {
            let resource_version = health.conditions.is_none().then_some(&node.metadata.resource_version);
            let patch =
                json!({ "metadata": { "resourceVersion": resource_version }, "spec": { "taints": taints } });
            self.patch(&node, "", patch).await?;
            // The Pods are looked at when the taints are seen.
            return Ok(health.look_again.map_or(Next::OnChange, Next::After));
        }
        let next_eviction = self.evict(&node, now).await?;
        let soonest = health.look_again.into_iter().chain(next_eviction).min();
        Ok(soonest.map_or(Next::OnChange, Next::After))
    }
}

impl NodeLifecycleController {
    async fn patch(&self, node: &Node, part: &str, patch: serde_json::Value) -> Result<(), ReconcileError> {
        let api = Api::<Node>::all(self.client.clone());
        let (name, params, patch) = (node.name_any(), PatchParams::default(), Patch::Strategic(patch));
        let written = if part == "status" {
            api.patch_status(&name, &params, &patch).await.step("writing the node's conditions")?
        } else {
            let Patch::Strategic(patch) = patch else { return Ok(()) };
            api.patch(&name, &params, &Patch::Merge(patch)).await.step("writing the node's taints")?
        };
        self.caches.nodes.note(written);
        Ok(())
    }

    /// Deletes the Pods whose time has come; returns how long until the next one's has.
    async fn evict(&self, node: &Node, now: Timestamp) -> Result<Option<Duration>, ReconcileError> {
        if !drives_away(node) {
            return Ok(None);
        }
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let name = node.name_any();
        let mut next = None;
        for pod in self.caches.pods.all() {
            if node_of(&pod) != name || is_terminating(&pod) {
                continue;
            }
            let Some(at) = evict_at(&pod, taints) else { continue };
            match Duration::try_from(at.duration_since(now)) {
                Ok(left) if !left.is_zero() => {
                    next = Some(next.map_or(left, |next: Duration| next.min(left)));
                }
                Ok(_) | Err(_) => self.evict_one(&pod).await?,
            }
        }
        Ok(next)
    }

    async fn evict_one(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let namespace = pod.namespace().unwrap_or_default();
        let message = format!("Marking for deletion Pod {namespace}/{}", pod.name_any());
        let notice = Notice {
            component: "taint-eviction-controller",
            severity: Severity::Normal,
            reason: "TaintManagerEviction",
            message,
        };
        self.recorder.event(reference(pod), notice);
        let api = Api::<Pod>::namespaced(self.client.clone(), &namespace);
        let deleted = delete(&api, &pod.metadata, Only::This, DeleteParams::default()).await;
        deleted.step("evicting a Pod").map(drop)
    }

    fn tell(&self, node: &Node) {
        let message = format!("Node {} status is now: NodeNotReady", node.name_any());
        let notice = Notice {
            component: "node-controller",
            severity: Severity::Normal,
            reason: "NodeNotReady",
            message,
        };
        self.recorder.event(reference(node), notice);
    }
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn has_taint(node: &Node, key: &str) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.into_iter().any(|taint| taint.key == key)
}

fn drives_away(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.into_iter().any(|taint| taint.effect == "NoExecute")
}
