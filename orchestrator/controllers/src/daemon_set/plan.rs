//! What a DaemonSet needs next, as data: one Pod on each node it belongs on, none elsewhere; then the rollout.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::pod::{Belongs, Candidate, is_updated, node_of};
use super::rollout;
use crate::objects::intstr::scaled;
use crate::objects::pods::{available_in, is_failed, is_ready, is_succeeded, is_terminal, is_terminating};

/// The most Pods created or deleted in one go.
const BURST: usize = 250;

/// What was observed.
pub(super) struct World<'a> {
    pub(super) set: &'a DaemonSet,
    /// The hash of the revision of the set's template.
    pub(super) hash: &'a str,
    pub(super) nodes: &'a [Arc<Node>],
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) now: Timestamp,
}

/// The Pods to make and to delete.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// Names of nodes.
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<Arc<Pod>>,
    /// Pods that ended, to be deleted; those that failed not too often.
    pub(super) ended: Vec<Arc<Pod>>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty() && self.ended.is_empty()
    }

    /// No more than may be done in one go.
    pub(super) fn limited(mut self) -> Self {
        self.create.truncate(BURST);
        self.delete.truncate(BURST);
        self
    }
}

/// The nodes with what belongs on them and what is there.
pub(super) struct Place<'a> {
    pub(super) name: String,
    /// Whether there is such a node.
    pub(super) exists: bool,
    pub(super) belongs: Belongs,
    pub(super) pods: Vec<&'a Arc<Pod>>,
}

/// Every node, and every node that is gone but still has Pods bound for it.
pub(super) fn places<'a>(world: &World<'a>, with_ended: bool) -> Vec<Place<'a>> {
    let mut pods = BTreeMap::<String, Vec<&'a Arc<Pod>>>::new();
    for pod in world.pods {
        // One that ended and is going needs nothing any more.
        if !with_ended && is_terminal(pod) && is_terminating(pod) {
            continue;
        }
        if let Some(node) = node_of(pod) {
            pods.entry(node.to_owned()).or_default().push(pod);
        }
    }
    for pods in pods.values_mut() {
        pods.sort_by_cached_key(|pod| {
            let is_waiting =
                pod.spec.as_ref().is_none_or(|spec| spec.node_name.as_deref().unwrap_or_default().is_empty());
            (is_waiting, pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.name_any())
        });
    }
    let candidate = Candidate::of(world.set);
    let mut places: Vec<_> = world
        .nodes
        .iter()
        .map(|node| {
            let pods = pods.remove(&node.name_any()).unwrap_or_default();
            Place { name: node.name_any(), exists: true, belongs: candidate.belongs(node), pods }
        })
        .collect();
    let nowhere = Belongs { shall_run: false, may_stay: false };
    places.extend(pods.into_iter().map(|(name, pods)| Place { name, exists: false, belongs: nowhere, pods }));
    places.sort_by(|a, b| a.name.cmp(&b.name));
    places
}

/// Plans what the nodes need, whatever the rollout does.
pub(super) fn manage(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    for place in places(world, false) {
        if !place.exists {
            // Those bound to a node that is gone are collected with it.
            let waiting = place.pods.into_iter().filter(|pod| {
                pod.spec.as_ref().is_none_or(|spec| spec.node_name.as_deref().unwrap_or_default().is_empty())
            });
            plan.delete.extend(waiting.filter(|pod| !is_terminating(pod)).cloned());
            continue;
        }
        manage_place(world, &place, &mut plan);
    }
    plan
}

fn manage_place(world: &World<'_>, place: &Place<'_>, plan: &mut Plan) {
    let Belongs { shall_run, may_stay } = place.belongs;
    if shall_run && place.pods.is_empty() {
        plan.create.push(place.name.clone());
        return;
    }
    let living = place.pods.iter().copied().filter(|pod| !is_terminating(pod));
    if !may_stay {
        plan.delete.extend(living.cloned());
        return;
    }
    let (ended, running): (Vec<_>, Vec<_>) = living.partition(|pod| is_failed(pod) || is_succeeded(pod));
    plan.ended.extend(ended.into_iter().cloned());
    if !surges(world.set) {
        plan.delete.extend(running.into_iter().skip(1).cloned());
    } else if running.len() > 1 {
        plan.delete.extend(crowded(world, &running));
    } else if running.is_empty() && shall_run {
        plan.create.push(place.name.clone());
    }
}

/// While surging two Pods share a node as long as the old one serves and the new one does not yet.
fn crowded(world: &World<'_>, running: &[&Arc<Pod>]) -> Vec<Arc<Pod>> {
    let (new, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
        running.iter().copied().partition(|pod| is_updated(world.set, pod, world.hash));
    let mut gone: Vec<_> = new.iter().skip(1).chain(old.iter().skip(1)).map(|pod| (*pod).clone()).collect();
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!is_ready(old) || is_available(world, new))
    {
        gone.push((*old).clone());
    }
    gone
}

/// Plans the rollout, once what was planned before is there.
pub(super) fn roll(world: &World<'_>) -> Plan {
    let strategy = world.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return Plan::default();
    }
    let places = places(world, false);
    if surges(world.set) { rollout::surging(world, &places) } else { rollout::replacing(world, &places) }
}

/// How many Pods may be missing or be too many during a rollout, if this many shall run.
pub(super) fn limits(set: &DaemonSet, desired: i32) -> (i32, i32) {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = rolling
        .and_then(|rolling| rolling.max_surge.as_ref())
        .map_or(0, |surge| scaled(surge, desired, true));
    let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    let unavailable = unavailable.map_or(1, |unavailable| scaled(unavailable, desired, true));
    // What allows nothing would never move.
    let is_stuck = desired > 0 && surge == 0 && unavailable == 0;
    (if is_stuck { 1 } else { unavailable }, surge)
}

fn surges(set: &DaemonSet) -> bool {
    // A percentage of whatever number of nodes is something or nothing by itself.
    limits(set, 100).1 > 0
}

/// Whether the Pod has been ready for long enough.
pub(super) fn is_available(world: &World<'_>, pod: &Pod) -> bool {
    available_in(pod, min_ready(world.set), world.now) == Some(Duration::ZERO)
}

/// How long until the next ready Pod counts as available.
pub(super) fn next_available(world: &World<'_>) -> Option<Duration> {
    let waits = world.pods.iter().filter_map(|pod| available_in(pod, min_ready(world.set), world.now));
    waits.filter(|wait| !wait.is_zero()).min()
}

fn min_ready(set: &DaemonSet) -> Duration {
    let seconds = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod rollout_tests;
