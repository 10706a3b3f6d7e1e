//! Binds claims and volumes to each other, has volumes made, and reclaims those whose claim is gone.
//!
//! Flow: a change of a claim, a volume or a class wakes those whom it may concern; [`claim::plan`] and [`volume::plan`]
//! decide, [`apply`] writes. The volume is written first: what refers to the claim by its uid is bound to it for good, and
//! whoever looks next can finish the binding.
//!
//! Guarantees: a volume is bound to one claim at most, because its reference is written on the version that was seen to be
//! free. Before a volume is released the server is asked whether its claim is really gone.
//!
//! Caveats: an event about the same object that says the same as the last one is not told again.

mod apply;
mod claim;
mod volume;
mod writes;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Client, ResourceExt};
use wherry_api::local_path;

use super::facts::{
    AVAILABLE, BIND_COMPLETED, SELECTED_NODE, annotation, claim_class, claims_of, has_node, names_class,
    volume_name, volume_phase,
};
use super::matching;
use super::told::Told;
use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::objects::pods::{is_terminal, is_terminating};
use crate::runtime::cache::Change;
use crate::runtime::error::ReconcileError;
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const COMPONENT: &str = "persistentvolume-controller";
/// Annotations that make a class the default.
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// A claim, or a volume by its name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Concern {
    Claim(Key),
    Volume(String),
}

/// See the module's documentation.
pub(crate) struct VolumeBinder {
    client: Client,
    caches: Arc<Caches>,
    told: Told,
}

impl Controller for VolumeBinder {
    const NAME: &'static str = "persistentvolume-binder-controller";
    type Key = Concern;

    fn new(context: &Context, queue: &Arc<Queue<Concern>>) -> Self {
        let caches = &context.caches;
        let (wake, all) = (queue.clone(), caches.clone());
        caches.persistent_volume_claims.on_change(move |change| on_claim(change, &wake, &all));
        let (wake, all) = (queue.clone(), caches.clone());
        caches.persistent_volumes.on_change(move |change| on_volume(change, &wake, &all));
        let (wake, all) = (queue.clone(), caches.clone());
        caches.storage_classes.on_change(move |change| {
            let Some(class) = change.last() else { return };
            let name = class.name_any();
            wake_unbound(&all, &wake, |claim| claim_class(claim) == name || !names_class(claim));
        });
        let (wake, all) = (queue.clone(), caches.clone());
        caches.nodes.on_change(move |change| on_node(change, &wake, &all));
        let (wake, all) = (queue.clone(), caches.clone());
        caches.pods.on_change(move |change| on_pod(change, &wake, &all));
        let told = Told::new(&context.recorder, COMPONENT);
        told.forget_those_gone_of(&caches.persistent_volume_claims);
        told.forget_those_gone_of(&caches.persistent_volumes);
        Self { client: context.client.clone(), caches: caches.clone(), told }
    }

    async fn reconcile(&self, concern: &Concern) -> Result<Next, ReconcileError> {
        match concern {
            Concern::Claim(key) => self.claim(key).await?,
            Concern::Volume(name) => self.volume(name).await?,
        }
        Ok(Next::OnChange)
    }
}

impl VolumeBinder {
    async fn claim(&self, key: &Key) -> Result<(), ReconcileError> {
        let Some(claim) = self.caches.persistent_volume_claims.get(key) else { return Ok(()) };
        let class = self.caches.storage_classes.get_global(claim_class(&claim));
        let volumes = match volume_name(&claim) {
            "" => self.caches.persistent_volumes.all(),
            name => self.caches.persistent_volumes.get_global(name).into_iter().collect(),
        };
        let node = self.node(&claim, class.as_deref());
        let default_class = default_class(&self.caches.storage_classes.all());
        let world = claim::World {
            claim: &claim,
            volumes: &volumes,
            class: class.as_deref(),
            default_class: default_class.as_deref(),
            node: node.as_deref(),
            waiting: &self.waiting(&claim),
        };
        let plan = claim::plan(&world)?;
        self.carry_out(&claim, plan).await
    }

    /// The node the scheduler chose. A directory is also made for a Pod that has its node already, which nobody chose.
    fn node(&self, claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> Option<Arc<Node>> {
        if let Some(name) = annotation(&claim.metadata, SELECTED_NODE) {
            return self.caches.nodes.get_global(name);
        }
        let makes_directory = class.is_some_and(|class| class.provisioner == local_path::PROVISIONER);
        if !makes_directory || annotation(&claim.metadata, BIND_COMPLETED).is_some() {
            return None;
        }
        let name = claim.name_any();
        let runs = |pod: &Pod| {
            has_node(pod)
                && !is_terminal(pod)
                && !is_terminating(pod)
                && claims_of(pod).any(|used| used == name)
        };
        let pods = self.caches.pods.select(&claim.namespace().unwrap_or_default(), runs);
        let name = pods.first().and_then(|pod| pod.spec.as_ref()?.node_name.clone())?;
        self.caches.nodes.get_global(&name)
    }

    /// The Pods that use the claim and have no node yet, by name; only a claim that waits for them cares.
    fn waiting(&self, claim: &PersistentVolumeClaim) -> Vec<String> {
        if annotation(&claim.metadata, BIND_COMPLETED).is_some() {
            return Vec::new();
        }
        let name = claim.name_any();
        let waits =
            |pod: &Pod| !has_node(pod) && !is_terminal(pod) && claims_of(pod).any(|used| used == name);
        let pods = self.caches.pods.select(&claim.namespace().unwrap_or_default(), waits);
        pods.iter().map(|pod| pod.name_any()).collect()
    }
}

/// The class of claims that name none: the newest of those that are marked so.
fn default_class(classes: &[Arc<StorageClass>]) -> Option<String> {
    let is_default = |class: &&Arc<StorageClass>| {
        DEFAULT_CLASS.iter().any(|name| annotation(&class.metadata, name) == Some("true"))
    };
    let made = |class: &Arc<StorageClass>| class.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let mut marked: Vec<_> = classes.iter().filter(is_default).collect();
    marked.sort_by(|one, other| made(other).cmp(&made(one)).then(one.name_any().cmp(&other.name_any())));
    marked.first().map(|class| class.name_any())
}

fn on_claim(change: &Change<'_, PersistentVolumeClaim>, queue: &Queue<Concern>, caches: &Caches) {
    if let Some(claim) = change.new {
        queue.add(Concern::Claim(Key::of(&**claim)));
    }
    let mut named: Vec<&str> = change.both().map(|claim| volume_name(claim)).collect();
    named.dedup();
    // Who is bound to a volume concerns it only when that changes.
    if change.new.is_none() || named.len() > 1 {
        for name in named.into_iter().filter(|name| !name.is_empty()) {
            queue.add(Concern::Volume(name.to_owned()));
        }
    }
    if let (Some(gone), None) = (change.old, change.new) {
        let key = Key::of(&**gone);
        for volume in caches.persistent_volumes.select("", |volume| claim_of(volume).as_ref() == Some(&key)) {
            queue.add(Concern::Volume(volume.name_any()));
        }
    }
}

fn on_volume(change: &Change<'_, PersistentVolume>, queue: &Queue<Concern>, caches: &Caches) {
    if let Some(volume) = change.new {
        queue.add(Concern::Volume(volume.name_any()));
    }
    for key in change.both().filter_map(|volume| claim_of(volume)) {
        queue.add(Concern::Claim(key));
    }
    let is_free =
        |volume: &Arc<PersistentVolume>| volume_phase(volume) == AVAILABLE && claim_of(volume).is_none();
    if let Some(volume) = change.new.filter(|volume| is_free(volume)) {
        let may_take = |claim: &PersistentVolumeClaim| match volume_name(claim) {
            "" => matching::satisfies(volume, claim).is_ok(),
            name => name == volume.name_any(),
        };
        wake_unbound(caches, queue, may_take);
    }
}

/// A node that appears, or says where its volumes are, may be the one a claim waits for.
fn on_node(change: &Change<'_, Node>, queue: &Queue<Concern>, caches: &Caches) {
    let Some(node) = change.new else { return };
    let says = |node: &Node| annotation(&node.metadata, local_path::DIRECTORY).map(str::to_owned);
    if change.old.is_none_or(|old| says(old) != says(node)) {
        let name = node.name_any();
        wake_unbound(caches, queue, |claim| annotation(&claim.metadata, SELECTED_NODE) == Some(&name));
    }
}

/// A Pod that got its node may use claims that nobody selected a node for.
fn on_pod(change: &Change<'_, Pod>, queue: &Queue<Concern>, caches: &Caches) {
    let Some(pod) = change.new.filter(|pod| has_node(pod)) else { return };
    if change.old.is_some_and(|old| has_node(old)) {
        return;
    }
    for name in claims_of(pod) {
        let key = Key::new(pod.namespace().unwrap_or_default(), name);
        let claim = caches.persistent_volume_claims.get(&key);
        if claim.is_some_and(|claim| annotation(&claim.metadata, BIND_COMPLETED).is_none()) {
            queue.add(Concern::Claim(key));
        }
    }
}

fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(Key::new(reference.namespace.clone()?, reference.name.clone()?))
}

/// Wakes the claims that are not bound and that something concerns.
fn wake_unbound(caches: &Caches, queue: &Queue<Concern>, concerns: impl Fn(&PersistentVolumeClaim) -> bool) {
    for claim in caches.persistent_volume_claims.all() {
        if annotation(&claim.metadata, BIND_COMPLETED).is_none() && concerns(&claim) {
            queue.add(Concern::Claim(Key::of(&*claim)));
        }
    }
}
