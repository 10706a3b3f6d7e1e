//! Node lifecycle: notices nodes that stop renewing their Lease, says so, and taints nodes by what they say.
//!
//! Flow: a node that is not heard of becomes Unknown, and its Pods not ready. One that is not ready is tainted at once against
//! new Pods; the taint that drives its Pods away comes when [`Pace`] allows it.
//!
//! Assumptions: clocks of nodes are not trusted. A node is heard of when we see its Lease or the heartbeat in its status
//! change, by our clock; after a start of our own every node gets the whole grace period again.
//!
//! Leaves to others: the Pods that are driven away ([`super::taint_eviction`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use super::health::{Drive, is_given_up, judge, status, tainted};
use super::node_of;
use super::zones::{Pace, Permit, Zones, is_ready};
use crate::context::{Caches, Context};
use crate::objects::meta::reference;
use crate::objects::pods;
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};

const LEASES: &str = "kube-node-lease";
/// Who tells of nodes.
const COMPONENT: &str = "node-controller";

/// When each node was last heard of.
type Heard = Mutex<HashMap<String, Timestamp>>;

/// Keys are names of nodes.
pub(crate) struct NodeLifecycleController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    clock: Arc<dyn wherry_api::clock::Clock>,
    grace: Duration,
    heard: Arc<Heard>,
    pace: Mutex<Pace>,
}

impl Controller for NodeLifecycleController {
    const NAME: &'static str = "node-lifecycle-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let heard = Arc::new(Heard::default());
        hear_of_nodes(context, queue, &heard);
        hear_of_leases(context, queue, &heard);
        let (wake, nodes) = (queue.clone(), context.caches.nodes.clone());
        context.caches.pods.on_change(move |change| {
            let Some(name) = change.new.map(|pod| node_of(pod)).filter(|name| !name.is_empty()) else {
                return;
            };
            let is_new = change.old.is_none_or(|old| node_of(old).is_empty());
            if is_new && nodes.get_global(name).is_some_and(|node| is_silent(&node)) {
                wake.add(name.to_owned());
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
            clock: context.config.clock.clone(),
            grace: context.config.node_grace,
            heard,
            pace: Mutex::default(),
        }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let Some(mut node) = self.caches.nodes.get_global(name) else { return Ok(Next::OnChange) };
        let now = self.clock.now();
        let last_heard = *self.heard.lock().entry(name.clone()).or_insert(now);
        let health = judge(&node, last_heard, self.grace, now);
        if let Some(conditions) = health.conditions {
            let patch = Patch::Strategic(json!({ "status": { "conditions": conditions } }));
            let api = Api::<Node>::all(self.client.clone());
            let written = api.patch_status(name, &PatchParams::default(), &patch).await;
            let written = written.step("writing the node's conditions")?;
            if is_ready(&node) {
                let message = format!("Node {name} status is now: NodeNotReady");
                self.tell(&*node, Severity::Normal, "NodeNotReady", message);
            }
            self.caches.nodes.note(written.clone());
            node = Arc::new(written);
        }
        if is_silent(&node) {
            self.mark_pods(name).await?;
        }
        let paced = self.taint(&node, now).await?;
        let soonest = health.look_again.into_iter().chain(paced).min();
        Ok(soonest.map_or(Next::OnChange, Next::After))
    }
}

impl NodeLifecycleController {
    /// Writes the taints that the node should have; answers when to ask again whether its Pods are driven away.
    async fn taint(&self, node: &Node, now: Timestamp) -> Result<Option<Duration>, ReconcileError> {
        let permit = self.permit(node, now);
        let (drive, again) = match permit {
            None => (Drive::Stay, None),
            Some(Permit::Granted) => (Drive::Away, None),
            Some(Permit::Wait(left)) => (Drive::Hold, Some(left)),
            Some(Permit::Refused) => (Drive::Hold, None),
        };
        if let Some(taints) = tainted(node, drive, now) {
            let metadata = json!({ "resourceVersion": node.metadata.resource_version });
            let patch = Patch::Merge(json!({ "metadata": metadata, "spec": { "taints": taints } }));
            let api = Api::<Node>::all(self.client.clone());
            let written = api.patch(&node.name_any(), &PatchParams::default(), &patch).await;
            if written.is_err() && permit == Some(Permit::Granted) {
                self.pace.lock().give_back(node, now);
            }
            self.caches.nodes.note(written.step("writing the node's taints")?);
        }
        Ok(again)
    }

    /// Whether the node's Pods may be driven away; none if they stay.
    fn permit(&self, node: &Node, now: Timestamp) -> Option<Permit> {
        if is_ready(node) {
            return None;
        }
        let all = self.caches.nodes.all();
        let zones = Zones::of(all.iter().map(|node| &**node));
        if zones.are_all_silent() {
            return None;
        }
        // What was granted is not asked for again.
        Some(if is_given_up(node) { Permit::Refused } else { self.pace.lock().ask(&zones, node, now) })
    }

    /// Says of the Pods of a node that is not heard of that they are not ready.
    async fn mark_pods(&self, node: &str) -> Result<(), ReconcileError> {
        let ready =
            self.caches.pods.all().into_iter().filter(|pod| node_of(pod) == node && pods::is_ready(pod));
        for pod in ready {
            self.tell(&*pod, Severity::Warning, "NodeNotReady", "Node is not ready".to_owned());
            let condition =
                json!({"type": "Ready", "status": "False", "lastTransitionTime": self.clock.now()});
            let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
            let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            match api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await {
                Ok(written) => self.caches.pods.note(written),
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error).step("saying that a Pod is not ready"),
            }
        }
        Ok(())
    }

    fn tell<K: Resource<DynamicType = ()>>(
        &self,
        about: &K,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        self.recorder.event(reference(about), Notice { component: COMPONENT, severity, reason, message });
    }
}

fn hear_of_nodes(context: &Context, queue: &Arc<Queue<String>>, heard: &Arc<Heard>) {
    let (wake, heard, nodes) = (queue.clone(), heard.clone(), context.caches.nodes.clone());
    let (recorder, clock) = (context.recorder.clone(), context.config.clock.clone());
    context.caches.nodes.on_change(move |change| {
        let Some(node) = change.last() else { return };
        let (name, now) = (node.name_any(), clock.now());
        let tell = |reason, message| {
            let notice = Notice { component: COMPONENT, severity: Severity::Normal, reason, message };
            recorder.event(reference(&**node), notice);
        };
        match (change.old, change.new) {
            (None, Some(_)) => tell("RegisteredNode", format!("Registered Node {name} in Controller")),
            (Some(_), None) => tell("RemovingNode", format!("Removing Node {name} from Controller")),
            _ => {}
        }
        let beats = |node: Option<&Arc<Node>>| node.and_then(|node| heartbeat(node));
        if change.new.is_none() {
            heard.lock().remove(&name);
        } else if beats(change.old) == beats(change.new) {
            heard.lock().entry(name.clone()).or_insert(now);
        } else {
            heard.lock().insert(name.clone(), now);
        }
        let was_ready = change.old.is_some_and(|node| is_ready(node));
        if change.new.is_some_and(|node| is_ready(node)) != was_ready {
            readiness_changed(&nodes.all(), !was_ready, &wake, &heard, now);
        }
        wake.add(name);
    });
}

/// How fast nodes are given up depends on the others. Where the first of all nodes is heard of again, we were deaf: what was not
/// heard meanwhile counts for nothing.
fn readiness_changed(
    all: &[Arc<Node>],
    is_ready_now: bool,
    queue: &Queue<String>,
    heard: &Heard,
    now: Timestamp,
) {
    if is_ready_now && all.len() > 1 && all.iter().filter(|node| is_ready(node)).count() == 1 {
        heard.lock().values_mut().for_each(|last| *last = now);
    }
    for node in all.iter().filter(|node| !is_ready(node)) {
        queue.add(node.name_any());
    }
}

fn hear_of_leases(context: &Context, queue: &Arc<Queue<String>>, heard: &Arc<Heard>) {
    let (wake, heard, nodes) = (queue.clone(), heard.clone(), context.caches.nodes.clone());
    let clock = context.config.clock.clone();
    context.caches.leases.on_change(move |change| {
        let of_nodes = |lease: &&Arc<_>| Resource::meta(&***lease).namespace.as_deref() == Some(LEASES);
        let Some(lease) = change.new.filter(of_nodes) else { return };
        let name = lease.name_any();
        let Some(node) = nodes.get_global(&name) else { return };
        heard.lock().insert(name.clone(), clock.now());
        // Otherwise the deadline already set finds the new time.
        if is_silent(&node) {
            wake.add(name);
        }
    });
}

/// Whether the node counts as one that is not heard of.
fn is_silent(node: &Node) -> bool {
    status(node, "Ready") == Some("Unknown")
}

fn heartbeat(node: &Node) -> Option<Timestamp> {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.find(|condition| condition.type_ == "Ready")?;
    ready.last_heartbeat_time.as_ref().map(|time| time.0)
}
