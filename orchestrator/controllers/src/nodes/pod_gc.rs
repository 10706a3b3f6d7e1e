//! Pod garbage collection: Pods of nodes that are gone, Pods deleted before they had a node, and the oldest of
//! too many terminated Pods.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::DeleteParams;
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;

use super::node_of;
use crate::context::{Caches, Context};
use crate::objects::pods::{is_terminal, is_terminating};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// How long a node must be missing before its Pods count as lost.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);

/// There is one key: everything.
pub(crate) struct PodGcController {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn wherry_api::clock::Clock>,
    threshold: usize,
    missing: Mutex<BTreeMap<String, Timestamp>>,
}

/// What is to be done.
#[derive(Debug, Default)]
struct Plan {
    delete: Vec<Arc<Pod>>,
    /// Nodes to be looked for, with the Pods to be deleted if they are gone.
    lost: BTreeMap<String, Vec<Arc<Pod>>>,
    look_again: Option<Duration>,
}

/// Decides; `missing` keeps since when nodes have been missing.
fn plan(
    pods: &[Arc<Pod>],
    nodes: &HashSet<String>,
    missing: &mut BTreeMap<String, Timestamp>,
    threshold: usize,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let mut terminated: Vec<_> = pods.iter().filter(|pod| is_terminal(pod)).collect();
    terminated.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let surplus = terminated.len().saturating_sub(threshold);
    plan.delete.extend(terminated.into_iter().take(surplus).cloned());
    let is_unplaced = |pod: &&Arc<Pod>| is_terminating(pod) && node_of(pod).is_empty();
    plan.delete.extend(pods.iter().filter(is_unplaced).cloned());

    let mut strays = BTreeMap::<&str, Vec<_>>::new();
    for pod in pods.iter().filter(|pod| !node_of(pod).is_empty() && !nodes.contains(node_of(pod))) {
        strays.entry(node_of(pod)).or_default().push(pod.clone());
    }
    missing.retain(|node, _| strays.contains_key(node.as_str()));
    for (node, pods) in strays {
        let since = *missing.entry(node.to_owned()).or_insert(now);
        let left = QUARANTINE.saturating_sub(now.duration_since(since));
        match Duration::try_from(left) {
            Ok(left) if !left.is_zero() => {
                plan.look_again = Some(plan.look_again.map_or(left, |soonest| soonest.min(left)));
            }
            Ok(_) | Err(_) => drop(plan.lost.insert(node.to_owned(), pods)),
        }
    }
    plan
}

impl Controller for PodGcController {
    const NAME: &'static str = "pod-garbage-collector-controller";
    type Key = ();

    fn new(context: &Context, queue: &Arc<Queue<()>>) -> Self {
        let wake = queue.clone();
        context.caches.nodes.on_change(move |change| {
            if change.new.is_none() {
                wake.add(());
            }
        });
        let (wake, nodes) = (queue.clone(), context.caches.nodes.clone());
        context.caches.pods.on_change(move |change| {
            let concerns = change.new.is_some_and(|pod| {
                let node = node_of(pod);
                is_terminal(pod)
                    || if node.is_empty() { is_terminating(pod) } else { nodes.get_global(node).is_none() }
            });
            if concerns {
                wake.add(());
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
            threshold: context.config.terminated_pods,
            missing: Mutex::default(),
        }
    }

    async fn reconcile(&self, (): &()) -> Result<Next, ReconcileError> {
        let nodes = self.caches.nodes.all().iter().map(|node| node.name_any()).collect();
        let pods = self.caches.pods.all();
        let plan = plan(&pods, &nodes, &mut self.missing.lock(), self.threshold, self.clock.now());
        for pod in &plan.delete {
            self.delete(pod).await?;
        }
        for (node, pods) in &plan.lost {
            let found =
                Api::<Node>::all(self.client.clone()).get_opt(node).await.step("looking for a node")?;
            if found.is_none() {
                for pod in pods {
                    self.delete(pod).await?;
                }
            }
        }
        Ok(plan.look_again.map_or(Next::OnChange, Next::After))
    }
}

impl PodGcController {
    /// Deletes at once: nobody is left to end the Pod gracefully.
    async fn delete(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let at_once = DeleteParams::default().grace_period(0);
        delete(&api, &pod.metadata, Only::This, at_once).await.step("deleting a lost Pod").map(drop)
    }
}

#[cfg(test)]
#[path = "pod_gc_tests.rs"]
mod tests;
