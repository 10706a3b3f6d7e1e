//! What is known: policies, and, while there is one, Pods and Namespaces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::runtime::watcher::Event;

use super::Place;
use super::model::{Labels, Pod, Policy};
use super::plan::{View, plan};
use super::ruleset::Ruleset;
use crate::services::{ObjectKey, Replica};

/// See the module.
pub(super) struct World {
    place: Place,
    policies: Replica<Policy>,
    namespaces: Replica<Labels>,
    pods: Replica<Pod>,
    /// Pods that got their addresses here, by uid: with their key and as they were then.
    admitted: BTreeMap<String, (ObjectKey, Pod)>,
    /// Whether rules may be others than when they were last made.
    changed: bool,
}

impl World {
    /// Nothing is known yet.
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            policies: Replica::default(),
            namespaces: Replica::default(),
            pods: Replica::default(),
            admitted: BTreeMap::new(),
            changed: true,
        }
    }

    /// Takes note of an event of the watch on NetworkPolicies.
    pub(super) fn record_policy(&mut self, event: &Event<NetworkPolicy>) {
        self.changed |= !self.policies.record(event, Policy::parse).is_empty();
    }

    /// Takes note of an event of the watch on Namespaces.
    pub(super) fn record_namespace(&mut self, event: &Event<core::Namespace>) {
        let changes = self.namespaces.record(event, |namespace| Some(namespace.labels().clone()));
        self.changed |= !changes.is_empty();
    }

    /// Takes note of an event of the watch on Pods.
    pub(super) fn record_pod(&mut self, event: &Event<core::Pod>) {
        self.changed |= !self.pods.record(event, Pod::parse).is_empty();
    }

    /// A Pod of this node gets this address.
    pub(super) fn admit(&mut self, uid: String, key: ObjectKey, pod: Pod) {
        let admitted = (key, pod);
        if self.admitted.get(&uid) != Some(&admitted) {
            self.admitted.insert(uid, admitted);
            self.changed = true;
        }
    }

    /// A Pod of this node gave its address back.
    pub(super) fn release(&mut self, uid: &str) {
        self.changed |= self.admitted.remove(uid).is_some();
    }

    /// Whether there are policies, so that Pods and Namespaces have to be known.
    pub(super) fn has_policies(&self) -> bool {
        self.policies.iter().next().is_some()
    }

    /// Whether all is known that rules are made of.
    pub(super) fn complete(&self) -> bool {
        let of_others = self.namespaces.is_complete() && self.pods.is_complete();
        self.policies.is_complete() && (of_others || !self.has_policies())
    }

    /// The rules of each family, if they may be others than when this was last asked.
    pub(super) fn take_rules(&mut self) -> Option<Vec<Ruleset>> {
        std::mem::take(&mut self.changed).then(|| self.rules())
    }

    fn rules(&self) -> Vec<Ruleset> {
        let families = self.place.layout.families();
        if !self.has_policies() {
            return families.map(Ruleset::of).collect();
        }
        let local = self.local();
        let elsewhere = self.pods.iter().map(|(_, pod)| pod).filter(|pod| !local.contains_key(&pod.ip));
        let namespaces: BTreeMap<&str, &Labels> =
            self.namespaces.iter().map(|(key, labels)| (key.name.as_str(), labels)).collect();
        let view = View {
            policies: self.policies.iter().collect(),
            namespaces: &|name| namespaces.get(name).copied(),
            pods: elsewhere.chain(local.values()).collect(),
            local: local.values().collect(),
        };
        families.map(|family| plan(&view, family)).collect()
    }

    /// The Pods of this node by address: those that tell theirs, and those that have just got it, whose labels are told by their
    /// objects all the same.
    fn local(&self) -> BTreeMap<IpAddr, Pod> {
        let Place { node, layout } = &self.place;
        let here = |pod: &Pod| layout.first.contains(pod.ip) && pod.node.as_deref() == Some(node);
        let told = self.pods.iter().map(|(_, pod)| pod).filter(|pod| here(pod)).cloned();
        let mut local: BTreeMap<IpAddr, Pod> = told.map(|pod| (pod.ip, pod)).collect();
        for (key, admitted) in self.admitted.values() {
            let told = self.pods.get(key).filter(|told| told.ip == admitted.ip);
            local.insert(admitted.ip, told.unwrap_or(admitted).clone());
        }
        local
    }
}
