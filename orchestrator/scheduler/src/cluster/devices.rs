//! Devices: what drivers offer, what classes there are, and which claims have what.
//!
//! Guarantees: a device that was given to a claim is not free until the claim is seen without it; what was decided and
//! is being written counts at once. Only the pool of a slice that changed is put together again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::resource::v1::{
    AllocationResult, DeviceClass, ResourceClaim, ResourceSlice, ResourceSliceSpec,
};

use super::storage::{Name, name_of};
use crate::event::StorageKind;

/// A device by its driver, its pool and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DeviceId {
    pub(crate) driver: String,
    pub(crate) pool: String,
    pub(crate) device: String,
}

/// A pool by its driver and its name.
pub(crate) type PoolId = (String, String);

/// The slices of one pool.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// All that were seen, by name.
    seen: BTreeMap<String, Arc<ResourceSlice>>,
    /// Those of the newest generation.
    pub(crate) slices: Vec<Arc<ResourceSlice>>,
    /// Whether some of them are not there yet.
    pub(crate) is_incomplete: bool,
    /// Whether two devices have one name.
    pub(crate) is_invalid: bool,
}

impl Pool {
    fn refresh(&mut self) {
        let newest = self.seen.values().map(|slice| slice.spec.pool.generation).max();
        let current = self.seen.values().filter(|slice| Some(slice.spec.pool.generation) == newest);
        self.slices = current.cloned().collect();
        let count = self.slices.first().map_or(0, |slice| slice.spec.pool.resource_slice_count);
        self.is_incomplete = i64::try_from(self.slices.len()).ok() != Some(count);
        let mut names = HashSet::new();
        let mut devices = self.slices.iter().flat_map(|slice| slice.spec.devices.iter().flatten());
        self.is_invalid = !devices.all(|device| names.insert(device.name.as_str()));
    }
}

/// Nodes that a slice may be for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reach {
    Node(String),
    Others,
}

fn reach(spec: &ResourceSliceSpec) -> Reach {
    spec.node_name.clone().map_or(Reach::Others, Reach::Node)
}

/// An allocation that is being written.
#[derive(Debug)]
struct Assumed {
    allocation: AllocationResult,
    /// The version with it, when the API has told it.
    written: Option<u64>,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Devices {
    pools: BTreeMap<PoolId, Pool>,
    /// The pool of each slice.
    pool_of: HashMap<String, PoolId>,
    /// The pools that have slices for a node, or for others.
    reaching: HashMap<Reach, BTreeMap<PoolId, usize>>,
    classes: HashMap<String, Arc<DeviceClass>>,
    claims: HashMap<Name, Arc<ResourceClaim>>,
    /// By the uid of the claim.
    assumed: HashMap<String, Assumed>,
    /// How many claims have each device for themselves.
    taken: HashMap<DeviceId, usize>,
}

/// The devices that an allocation has for itself.
fn taken_by(allocation: &AllocationResult) -> impl Iterator<Item = DeviceId> {
    let results = allocation.devices.iter().flat_map(|devices| devices.results.iter().flatten());
    let own = results.filter(|result| result.admin_access != Some(true));
    own.map(|result| DeviceId {
        driver: result.driver.clone(),
        pool: result.pool.clone(),
        device: result.device.clone(),
    })
}

fn allocation_of(claim: &ResourceClaim) -> Option<&AllocationResult> {
    claim.status.as_ref()?.allocation.as_ref()
}

fn version_of(claim: &ResourceClaim) -> Option<u64> {
    claim.metadata.resource_version.as_ref()?.parse().ok()
}

impl Devices {
    /// A claim.
    pub(crate) fn claim(&self, namespace: &str, name: &str) -> Option<&Arc<ResourceClaim>> {
        self.claims.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// A class of devices.
    pub(crate) fn class(&self, name: &str) -> Option<&Arc<DeviceClass>> {
        self.classes.get(name)
    }

    /// Whether an allocation of a claim is being written.
    pub(crate) fn is_assumed(&self, claim_uid: &str) -> bool {
        self.assumed.contains_key(claim_uid)
    }

    /// Whether some claim has a device for itself.
    pub(crate) fn is_taken(&self, device: &DeviceId) -> bool {
        self.taken.contains_key(device)
    }

    /// The pools that may have devices for a node, in the order of their names.
    pub(crate) fn pools_for(&self, node: &str) -> Vec<(&PoolId, &Pool)> {
        let reaching = |reach: &Reach| self.reaching.get(reach).into_iter().flat_map(BTreeMap::keys);
        let mut ids: Vec<_> =
            reaching(&Reach::Node(node.to_owned())).chain(reaching(&Reach::Others)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|id| Some((id, self.pools.get(id)?))).collect()
    }

    /// Gives a claim its devices while that is being written.
    pub(crate) fn assume(&mut self, claim_uid: &str, allocation: AllocationResult) {
        self.give_back(claim_uid);
        self.take(taken_by(&allocation));
        self.assumed.insert(claim_uid.to_owned(), Assumed { allocation, written: None });
    }

    /// The allocation was not written, or is no longer only assumed.
    pub(crate) fn give_back(&mut self, claim_uid: &str) {
        if let Some(assumed) = self.assumed.remove(claim_uid) {
            self.release(taken_by(&assumed.allocation));
        }
    }

    /// The API has told the claim of this version with what was assumed.
    pub(crate) fn written(&mut self, claim: &ResourceClaim) {
        let name = name_of(&claim.metadata);
        let uid = claim.metadata.uid.as_deref().unwrap_or_default();
        let seen = self.claims.get(&name).and_then(|claim| version_of(claim));
        if let Some(assumed) = self.assumed.get_mut(uid) {
            assumed.written = version_of(claim);
            if seen >= assumed.written {
                self.give_back(uid);
            }
        }
    }

    pub(crate) fn set_claim(&mut self, claim: ResourceClaim) -> StorageKind {
        let name = name_of(&claim.metadata);
        let uid = claim.metadata.uid.clone().unwrap_or_default();
        let has_devices = allocation_of(&claim).is_some();
        if let Some(allocation) = allocation_of(&claim) {
            self.take(taken_by(allocation));
        }
        let frees = self.remove_claim_of(&name, Some(&uid)) && !has_devices;
        let version = version_of(&claim);
        let is_shown =
            |assumed: &Assumed| has_devices || assumed.written.is_some_and(|_| version >= assumed.written);
        if self.assumed.get(&uid).is_some_and(is_shown) {
            self.give_back(&uid);
        }
        self.claims.insert(name.clone(), Arc::new(claim));
        StorageKind::DeviceClaim { name, frees }
    }

    /// Forgets a claim; returns what that means.
    pub(crate) fn remove_claim(&mut self, name: &Name) -> StorageKind {
        let frees = self.remove_claim_of(name, None);
        StorageKind::DeviceClaim { name: name.clone(), frees }
    }

    /// Takes a claim out, unless what is assumed of it is to stay; returns whether it had devices.
    fn remove_claim_of(&mut self, name: &Name, unless: Option<&str>) -> bool {
        let Some(before) = self.claims.remove(name) else { return false };
        let uid = before.metadata.uid.as_deref().unwrap_or_default();
        if unless != Some(uid) {
            self.give_back(uid);
        }
        let Some(allocation) = allocation_of(&before) else { return false };
        self.release(taken_by(allocation));
        true
    }

    fn take(&mut self, devices: impl Iterator<Item = DeviceId>) {
        for device in devices {
            *self.taken.entry(device).or_default() += 1;
        }
    }

    fn release(&mut self, devices: impl Iterator<Item = DeviceId>) {
        for device in devices {
            if let Some(count) = self.taken.get_mut(&device) {
                *count -= 1;
                if *count == 0 {
                    self.taken.remove(&device);
                }
            }
        }
    }

    pub(crate) fn set_slice(&mut self, slice: ResourceSlice) -> StorageKind {
        let name = slice.metadata.name.clone().unwrap_or_default();
        self.remove_slice(&name);
        let id = (slice.spec.driver.clone(), slice.spec.pool.name.clone());
        let reach = self.reaching.entry(reach(&slice.spec)).or_default();
        *reach.entry(id.clone()).or_default() += 1;
        let pool = self.pools.entry(id.clone()).or_default();
        pool.seen.insert(name.clone(), Arc::new(slice));
        pool.refresh();
        self.pool_of.insert(name, id);
        StorageKind::Slice
    }

    pub(crate) fn remove_slice(&mut self, name: &str) {
        let Some(id) = self.pool_of.remove(name) else { return };
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let Some(slice) = pool.seen.remove(name) else { return };
        pool.refresh();
        if pool.seen.is_empty() {
            self.pools.remove(&id);
        }
        let reach = reach(&slice.spec);
        if let Some(pools) = self.reaching.get_mut(&reach) {
            if let Some(count) = pools.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    pools.remove(&id);
                }
            }
            if pools.is_empty() {
                self.reaching.remove(&reach);
            }
        }
    }

    pub(crate) fn set_class(&mut self, class: DeviceClass) -> StorageKind {
        self.classes.insert(class.metadata.name.clone().unwrap_or_default(), Arc::new(class));
        StorageKind::DeviceClass
    }

    pub(crate) fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }
}
