//! DynamicResources: the devices that a Pod claims must be there for its node.
//!
//! Flow: what a Pod's claims are and want is found out once for a decision (`wanted`); then each node that passed all
//! else is asked: claims that have devices must have them there, the others must find some (`allocator`, over `offers`).
//! What is decided counts at once and is written before the Pod is bound. Pods without claims never get here.

mod allocator;
mod offers;
mod result;
mod selector;
mod wanted;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodResourceClaim;
use k8s_openapi::api::resource::v1::{AllocationResult, ResourceClaim};

use super::volumes::RefusedEverywhere;
use super::{Plugin, Profile, Refusal};
use crate::cluster::{Cluster, DeviceId, NodeIndex};
use crate::event::{Event, StorageKind};
use crate::pod::PodInfo;
use allocator::{Known, Pick, allocate};
use offers::{Offers, selects};
use wanted::{Wanted, called};

/// How many Pods can share a claim.
const MOST_USERS: usize = 256;

const NOT_THERE: Refusal =
    Refusal::for_good(Plugin::DynamicResources, "resourceclaim not available on the node");
const NO_DEVICES: Refusal = Refusal::for_good(Plugin::DynamicResources, "cannot allocate all claims");

/// A claim that is to be told its Pod, and its devices if it has none.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) claim: Arc<ResourceClaim>,
    pub(crate) allocation: Option<AllocationResult>,
}

/// What a Pod's claims need.
pub(crate) struct Needs {
    uid: String,
    claims: Vec<Arc<ResourceClaim>>,
    /// Those of them without devices.
    wanted: Vec<Wanted>,
    known: Known,
    /// What was found on the nodes that were looked at.
    found: RefCell<HashMap<NodeIndex, bool>>,
    /// What is wrong with a claim or a class, if something is.
    wrong: RefCell<Option<String>>,
}

impl Needs {
    /// What a Pod's claims need; nothing if it has none.
    pub(crate) fn of(
        pod: &PodInfo,
        cluster: &Cluster,
        profile: &Profile,
    ) -> Result<Option<Self>, RefusedEverywhere> {
        if !pod.template.claims_devices || !profile.filters.contains(Plugin::DynamicResources) {
            return Ok(None);
        }
        Self::read(pod, cluster)
            .map(Some)
            .map_err(|text| RefusedEverywhere { plugin: Plugin::DynamicResources, text })
    }

    fn read(pod: &PodInfo, cluster: &Cluster) -> Result<Self, String> {
        let devices = &cluster.devices;
        let (mut claims, mut wanted) = (Vec::new(), Vec::new());
        let asked = pod.object.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten());
        for asked in asked {
            let Some((name, is_own)) = name_of(asked, pod)? else { continue };
            let claim = usable(&name, is_own, pod, cluster)?;
            if claims.iter().any(|other: &Arc<ResourceClaim>| Arc::ptr_eq(other, claim)) {
                continue;
            }
            if allocation_of(claim).is_some() {
                if users(claim) >= MOST_USERS && !is_reserved_for(claim, &pod.uid) {
                    return Err("resourceclaim in use".to_owned());
                }
            } else if devices.is_assumed(claim.metadata.uid.as_deref().unwrap_or_default()) {
                return Err(format!("resource claim {} is in the process of being allocated", called(claim)));
            } else {
                wanted.push(Wanted::new(claim, devices)?);
            }
            claims.push(claim.clone());
        }
        let (known, found, wrong) = (Known::default(), RefCell::default(), RefCell::default());
        Ok(Self { uid: pod.uid.clone(), claims, wanted, known, found, wrong })
    }

    /// Whether a node is right for the claims.
    pub(crate) fn pass(&self, index: NodeIndex, cluster: &Cluster) -> Result<(), Refusal> {
        let node = cluster.node(index);
        let selectors = self.claims.iter().filter_map(|claim| allocation_of(claim)?.node_selector.as_ref());
        if !selectors.into_iter().all(|selector| selects(selector, node, cluster)) {
            return Err(NOT_THERE);
        }
        if self.wanted.is_empty() {
            return Ok(());
        }
        let known = self.found.borrow().get(&index).copied();
        let found = known.unwrap_or_else(|| {
            let found = allocate(&self.wanted, &Offers::of(node, cluster), &self.known);
            let found = found.unwrap_or_else(|text| {
                self.wrong.borrow_mut().get_or_insert(text);
                None
            });
            self.found.borrow_mut().insert(index, found.is_some());
            found.is_some()
        });
        if found { Ok(()) } else { Err(NO_DEVICES) }
    }

    /// What was wrong with a claim or a class on some node.
    pub(crate) fn wrong(&self) -> Option<RefusedEverywhere> {
        let text = self.wrong.borrow().clone()?;
        Some(RefusedEverywhere { plugin: Plugin::DynamicResources, text })
    }

    /// What has to be written before the Pod can be bound to a node.
    pub(crate) fn reservations(&self, index: NodeIndex, cluster: &Cluster) -> Vec<Reservation> {
        let offers = Offers::of(cluster.node(index), cluster);
        let picks = allocate(&self.wanted, &offers, &self.known).ok().flatten().unwrap_or_default();
        let reservation = |claim: &Arc<ResourceClaim>| {
            let place = self.wanted.iter().position(|wanted| Arc::ptr_eq(&wanted.claim, claim));
            let allocation = place.map(|place| {
                let own = picks.iter().filter(|pick| pick.place.claim == place).copied();
                result::allocation(&self.wanted[place], &offers, &own.collect::<Vec<Pick>>())
            });
            Reservation { claim: claim.clone(), allocation }
        };
        let lacking = self.claims.iter().filter(|claim| !is_reserved_for(claim, &self.uid));
        lacking.map(reservation).collect()
    }

    /// A claim that keeps the Pod from some nodes though nobody else uses it.
    pub(crate) fn hindering(&self, cluster: &Cluster) -> Option<Arc<ResourceClaim>> {
        let is_free = |claim: &ResourceClaim| users(claim) == usize::from(is_reserved_for(claim, &self.uid));
        let hinders = |claim: &&Arc<ResourceClaim>| {
            let selector = allocation_of(claim).and_then(|allocation| allocation.node_selector.as_ref());
            selector
                .is_some_and(|selector| cluster.nodes().any(|(_, node)| !selects(selector, node, cluster)))
        };
        self.claims.iter().filter(|claim| is_free(claim)).find(hinders).cloned()
    }
}

fn allocation_of(claim: &ResourceClaim) -> Option<&AllocationResult> {
    claim.status.as_ref()?.allocation.as_ref()
}

fn users(claim: &ResourceClaim) -> usize {
    let reserved = claim.status.as_ref().and_then(|status| status.reserved_for.as_ref());
    reserved.map_or(0, Vec::len)
}

/// Whether a claim was told of a Pod.
pub(crate) fn is_reserved_for(claim: &ResourceClaim, uid: &str) -> bool {
    let reserved = claim.status.iter().flat_map(|status| status.reserved_for.iter().flatten());
    reserved.into_iter().any(|user| user.uid == uid)
}

/// The name of a claim, and whether it must be the Pod's own; nothing if none is needed.
fn name_of(asked: &PodResourceClaim, pod: &PodInfo) -> Result<Option<(String, bool)>, String> {
    if let Some(name) = &asked.resource_claim_name {
        return Ok(Some((name.clone(), false)));
    }
    let made = pod.object.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    match made.into_iter().find(|made| made.name == asked.name) {
        Some(made) => Ok(made.resource_claim_name.clone().map(|name| (name, true))),
        None => Err(format!("pod \"{}/{}\": ResourceClaim not created yet", pod.namespace, pod.name)),
    }
}

fn usable<'c>(
    name: &str,
    is_own: bool,
    pod: &PodInfo,
    cluster: &'c Cluster,
) -> Result<&'c Arc<ResourceClaim>, String> {
    let Some(claim) = cluster.devices.claim(&pod.namespace, name) else {
        return Err(format!("resourceclaim.resource.k8s.io {name:?} not found"));
    };
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("resourceclaim {name:?} is being deleted"));
    }
    let mut owners = claim.metadata.owner_references.iter().flatten();
    if is_own && !owners.any(|owner| owner.controller == Some(true) && owner.uid == pod.uid) {
        return Err(format!(
            "ResourceClaim {} was not created for pod {}/{} (pod is not owner)",
            called(claim),
            pod.namespace,
            pod.name
        ));
    }
    Ok(claim)
}

/// Whether an event may help a Pod whose claims found nothing.
pub(super) fn helps(pod: &PodInfo, _: &Cluster, event: &Event) -> bool {
    match event {
        Event::NodeAdded(_) | Event::StorageChanged(StorageKind::Slice | StorageKind::DeviceClass) => true,
        Event::NodeChanged(_, changes) => changes.labels,
        Event::StorageChanged(StorageKind::DeviceClaim { name: (namespace, name), frees }) => {
            let is_its = |asked: &PodResourceClaim| {
                name_of(asked, pod).is_ok_and(|own| own.is_some_and(|(own, _)| own == *name))
            };
            let mut asked = pod.object.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten());
            *frees || (*namespace == pod.namespace && asked.any(is_its))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
