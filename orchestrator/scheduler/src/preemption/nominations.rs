//! The Pods that will have a node as soon as others have left it.
//!
//! Guarantees: a nominated Pod counts on its node for every decision on another Pod of its priority or below, and for no
//! decision on a Pod above it, nor on itself.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::event::Event;
use crate::pod::PodInfo;

struct Nomination {
    pod: Arc<PodInfo>,
    node: String,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Nominations {
    by_uid: HashMap<String, Nomination>,
    /// The same Pods, by node.
    by_node: HashMap<String, Vec<Arc<PodInfo>>>,
}

/// Those that do not count for the decision being made.
#[must_use = "they must count again"]
pub(crate) struct Aside(Vec<Arc<PodInfo>>);

impl Nominations {
    /// The node that a Pod is nominated for.
    pub(crate) fn node_of(&self, uid: &str) -> Option<&str> {
        self.by_uid.get(uid).map(|nomination| nomination.node.as_str())
    }

    /// Nominates a Pod for a node; returns what changed if it was nominated for another one.
    pub(crate) fn nominate(
        &mut self,
        cluster: &mut Cluster,
        pod: &Arc<PodInfo>,
        node: &str,
    ) -> Option<Event> {
        if self.node_of(&pod.uid) == Some(node) {
            return None;
        }
        let change = self.withdraw(cluster, &pod.uid);
        self.by_uid.insert(pod.uid.clone(), Nomination { pod: pod.clone(), node: node.to_owned() });
        self.by_node.entry(node.to_owned()).or_default().push(pod.clone());
        self.count(cluster, &pod.uid);
        change
    }

    /// Takes a nomination back; returns what changed.
    pub(crate) fn withdraw(&mut self, cluster: &mut Cluster, uid: &str) -> Option<Event> {
        self.placed(uid)?;
        cluster.forget(uid)
    }

    /// Drops a nomination of a Pod that is placed now, if it had one.
    pub(crate) fn placed(&mut self, uid: &str) -> Option<()> {
        let Nomination { node, .. } = self.by_uid.remove(uid)?;
        if let Some(here) = self.by_node.get_mut(&node) {
            here.retain(|pod| pod.uid != uid);
            if here.is_empty() {
                self.by_node.remove(&node);
            }
        }
        Some(())
    }

    /// Counts those again that were nominated for a node before it was known.
    pub(crate) fn node_added(&mut self, cluster: &mut Cluster, node: &str) {
        for pod in self.on(node) {
            self.count(cluster, &pod.uid);
        }
    }

    /// The Pods nominated for a node, the first nominated first.
    pub(crate) fn on(&self, node: &str) -> &[Arc<PodInfo>] {
        self.by_node.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Leaves out those that do not count for a decision on this Pod.
    pub(crate) fn step_aside(&self, cluster: &mut Cluster, pod: &PodInfo) -> Aside {
        let aside = self.by_uid.values().filter(|other| !counts_for(&other.pod, pod));
        let aside: Vec<_> = aside.map(|nomination| nomination.pod.clone()).collect();
        for other in &aside {
            cluster.forget(&other.uid);
        }
        Aside(aside)
    }

    /// Counts them again, as far as they are still nominated.
    pub(crate) fn step_back(&self, cluster: &mut Cluster, aside: Aside) {
        for pod in aside.0 {
            self.count(cluster, &pod.uid);
        }
    }

    fn count(&self, cluster: &mut Cluster, uid: &str) {
        let Some(nomination) = self.by_uid.get(uid) else { return };
        if let Some(node) = cluster.node_named(&nomination.node)
            && !cluster.is_placed(uid)
        {
            cluster.assume(&nomination.pod, node);
        }
    }
}

/// Whether a nominated Pod counts for a decision on another one.
pub(crate) fn counts_for(nominated: &PodInfo, pod: &PodInfo) -> bool {
    nominated.priority >= pod.priority && nominated.uid != pod.uid
}
