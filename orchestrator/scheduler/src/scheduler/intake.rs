//! What the watches report becomes what is known.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use tokio::time::Instant;

use super::{Input, Scheduler, uid};
use crate::pod::{PodInfo, is_terminal};

impl Scheduler {
    pub(super) fn take_in(&mut self, input: Input) {
        match input {
            Input::Pod(event) => self.take_in_pod(*event),
            Input::Node(event) => self.take_in_node(*event),
            Input::Namespace(event) => self.take_in_namespace(*event),
            Input::Budget(event) => self.take_in_budget(*event),
            Input::Object(object) => self.take_in_object(object),
        }
    }

    /// Whether what is known is all there is.
    pub(super) fn is_complete(&self) -> bool {
        let listings = &self.listings;
        let all = [&listings.pods, &listings.nodes, &listings.namespaces, &listings.budgets];
        all.into_iter().all(|listing| listing.is_complete) && listings.objects.are_complete()
    }

    fn take_in_pod(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listings.pods.begin(),
            Event::InitApply(pod) | Event::Apply(pod) => self.pod_changed(pod),
            Event::InitDone => {
                for uid in self.listings.pods.finish() {
                    self.pod_gone(&uid);
                }
            }
            Event::Delete(pod) => {
                self.listings.pods.forget(uid(&pod));
                self.pod_gone(uid(&pod));
            }
        }
    }

    fn pod_changed(&mut self, mut pod: Pod) {
        pod.metadata.managed_fields = None;
        self.listings.pods.saw(uid(&pod));
        if is_terminal(&pod) {
            self.pod_gone(uid(&pod));
            return;
        }
        if is_preempted(&pod) {
            self.ending.insert(uid(&pod).to_owned());
        }
        let info = PodInfo::new(Arc::new(pod));
        if let Some(node) = &info.node_name {
            self.queue.remove(&info.uid);
            self.nominations.placed(&info.uid);
            if !self.cluster.counts(&info) {
                let change = self.cluster.set_pod(&info, node);
                self.happened(change);
            }
        } else if info.is_leaving || !self.profiles.has(&info) {
            self.queue.remove(&info.uid);
            self.withdraw(&info.uid);
            self.stop_waiting_for_volumes(&info.uid);
        } else {
            self.pod_waits(Arc::new(info));
        }
    }

    fn pod_waits(&mut self, pod: Arc<PodInfo>) {
        if self.queue.is_decided(&pod.uid) {
            // What it was before its binding matters no more, least of all which node it was nominated for.
            self.queue.set(pod, Instant::now());
            return;
        }
        let nominated = |pod: &PodInfo| {
            let status = pod.object.status.as_ref();
            let node = status.and_then(|status| status.nominated_node_name.clone());
            node.filter(|node| !node.is_empty())
        };
        // What we have nominated ourselves may not have come back yet, so only what was there can go.
        let before = self.queue.get(&pod.uid).and_then(|before| nominated(before));
        match nominated(&pod) {
            Some(node) => {
                let change = self.nominations.nominate(&mut self.cluster, &pod, &node);
                self.happened(change);
            }
            None if before.is_some() => self.withdraw(&pod.uid),
            None => {}
        }
        self.queue.set(pod, Instant::now());
    }

    fn pod_gone(&mut self, uid: &str) {
        self.queue.remove(uid);
        self.ending.remove(uid);
        self.stop_waiting_for_volumes(uid);
        self.withdraw(uid);
        let change = self.cluster.remove_pod(uid);
        self.happened(change);
    }

    /// Takes a nomination back.
    pub(super) fn withdraw(&mut self, uid: &str) {
        let change = self.nominations.withdraw(&mut self.cluster, uid);
        self.happened(change);
    }

    fn take_in_node(&mut self, event: Event<Node>) {
        match event {
            Event::Init => self.listings.nodes.begin(),
            Event::InitApply(node) | Event::Apply(node) => self.node_changed(&node),
            Event::InitDone => {
                for name in self.listings.nodes.finish() {
                    self.node_gone(&name);
                }
            }
            Event::Delete(node) => {
                self.listings.nodes.forget(&node.name_any());
                self.node_gone(&node.name_any());
            }
        }
    }

    fn node_changed(&mut self, node: &Node) {
        let name = node.name_any();
        self.listings.nodes.saw(&name);
        self.extenders.set_node(node);
        let change = self.cluster.set_node(node);
        self.nominations.node_added(&mut self.cluster, &name);
        self.happened(Some(change));
    }

    fn node_gone(&mut self, name: &str) {
        self.extenders.remove_node(name);
        let change = self.cluster.remove_node(name);
        for pod in self.nominations.on(name).to_vec() {
            self.withdraw(&pod.uid);
            self.queue.again_if_parked(&pod.uid);
        }
        self.happened(change);
    }

    fn take_in_namespace(&mut self, event: Event<Namespace>) {
        match event {
            Event::Init => self.listings.namespaces.begin(),
            Event::InitApply(namespace) | Event::Apply(namespace) => {
                self.listings.namespaces.saw(&namespace.name_any());
                let change = self.cluster.set_namespace(&namespace);
                self.happened(change);
            }
            Event::InitDone => {
                for name in self.listings.namespaces.finish() {
                    self.cluster.remove_namespace(&name);
                }
            }
            Event::Delete(namespace) => {
                self.listings.namespaces.forget(&namespace.name_any());
                self.cluster.remove_namespace(&namespace.name_any());
            }
        }
    }

    fn take_in_budget(&mut self, event: Event<PodDisruptionBudget>) {
        let id = |budget: &PodDisruptionBudget| {
            format!("{}/{}", budget.namespace().unwrap_or_default(), budget.name_any())
        };
        match event {
            Event::Init => self.listings.budgets.begin(),
            Event::InitApply(budget) | Event::Apply(budget) => {
                self.listings.budgets.saw(&id(&budget));
                self.budgets.set(&budget);
            }
            Event::InitDone => {
                for id in self.listings.budgets.finish() {
                    let (namespace, name) = id.split_once('/').unwrap_or_default();
                    self.budgets.remove(namespace, name);
                }
            }
            Event::Delete(budget) => {
                self.listings.budgets.forget(&id(&budget));
                self.budgets.remove(&budget.namespace().unwrap_or_default(), &budget.name_any());
            }
        }
    }
}

/// Whether a scheduler ends the Pod for another one.
fn is_preempted(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_some()
        && conditions.any(|condition| {
            condition.type_ == "DisruptionTarget"
                && condition.status == "True"
                && condition.reason.as_deref() == Some("PreemptionByScheduler")
        })
}
