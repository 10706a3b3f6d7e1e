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
pub(crate) struct Nominations(HashMap<String, Nomination>);

/// Those that do not count for the decision being made.
#[must_use = "they must count again"]
pub(crate) struct Aside(Vec<Arc<PodInfo>>);

impl Nominations {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The node that a Pod is nominated for.
    pub(crate) fn node_of(&self, uid: &str) -> Option<&str> {
        self.0.get(uid).map(|nomination| nomination.node.as_str())
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
        self.0.insert(pod.uid.clone(), Nomination { pod: pod.clone(), node: node.to_owned() });
        self.count(cluster, &pod.uid);
        change
    }

    /// Takes a nomination back; returns what changed.
    pub(crate) fn withdraw(&mut self, cluster: &mut Cluster, uid: &str) -> Option<Event> {
        self.0.remove(uid)?;
        cluster.forget(uid)
    }

    /// Drops a nomination of a Pod that is placed now.
    pub(crate) fn placed(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// Counts those again that were nominated for a node before it was known.
    pub(crate) fn node_added(&mut self, cluster: &mut Cluster, node: &str) {
        let waiting = self.0.iter().filter(|(_, nomination)| nomination.node == node);
        let waiting: Vec<_> = waiting.map(|(uid, _)| uid.clone()).collect();
        for uid in &waiting {
            self.count(cluster, uid);
        }
    }

    /// The Pods nominated for a node.
    pub(crate) fn on(&self, node: &str) -> Vec<Arc<PodInfo>> {
        let here = self.0.values().filter(|nomination| nomination.node == node);
        let mut pods: Vec<_> = here.map(|nomination| nomination.pod.clone()).collect();
        pods.sort_by(|a, b| a.uid.cmp(&b.uid));
        pods
    }

    /// Leaves out those that do not count for a decision on this Pod.
    pub(crate) fn step_aside(&self, cluster: &mut Cluster, pod: &PodInfo) -> Aside {
        let below =
            self.0.values().filter(|other| other.pod.priority < pod.priority || other.pod.uid == pod.uid);
        let aside: Vec<_> = below.map(|nomination| nomination.pod.clone()).collect();
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
        let Some(nomination) = self.0.get(uid) else { return };
        if let Some(node) = cluster.node_named(&nomination.node)
            && !cluster.is_placed(uid)
        {
            cluster.assume(&nomination.pod, node);
        }
    }
}
