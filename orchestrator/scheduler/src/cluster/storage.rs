//! Claims, volumes and what is known of where they can be used.
//!
//! What was decided and is being written is assumed at once: a volume that is promised to a claim is not promised
//! to another one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};

use crate::event::StorageKind;

/// A claim's or another namespaced object's namespace and name.
pub(crate) type Name = (String, String);

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Storage {
    claims: HashMap<Name, Arc<PersistentVolumeClaim>>,
    /// By name, so that equally good volumes are always taken in the same order.
    volumes: BTreeMap<String, Arc<PersistentVolume>>,
    classes: HashMap<String, Arc<StorageClass>>,
    /// What each driver can attach to each node, if it says so.
    limits: HashMap<String, HashMap<String, Option<usize>>>,
    capacities: HashMap<Name, Arc<CSIStorageCapacity>>,
    /// The drivers that say how much room they have.
    with_capacity: HashMap<String, bool>,
    /// How many placed Pods use each claim.
    users: HashMap<Name, usize>,
    /// The volume that is being bound to each claim.
    promised: HashMap<Name, String>,
}

impl Storage {
    /// A claim.
    pub(crate) fn claim(&self, namespace: &str, name: &str) -> Option<&Arc<PersistentVolumeClaim>> {
        self.claims.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// A volume.
    pub(crate) fn volume(&self, name: &str) -> Option<&Arc<PersistentVolume>> {
        self.volumes.get(name)
    }

    /// All volumes, by name.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = (&String, &Arc<PersistentVolume>)> {
        self.volumes.iter()
    }

    /// A class of storage.
    pub(crate) fn class(&self, name: &str) -> Option<&Arc<StorageClass>> {
        self.classes.get(name)
    }

    /// How many volumes a driver can attach to a node, if it says so.
    pub(crate) fn limit(&self, node: &str, driver: &str) -> Option<usize> {
        self.limits.get(node)?.get(driver).copied().flatten()
    }

    /// What is known of the room in a class.
    pub(crate) fn capacities_of<'s>(
        &'s self,
        class: &'s str,
    ) -> impl Iterator<Item = &'s CSIStorageCapacity> {
        self.capacities.values().filter(move |capacity| capacity.storage_class_name == class).map(Arc::as_ref)
    }

    /// Whether a driver says how much room it has.
    pub(crate) fn tells_capacity(&self, driver: &str) -> bool {
        self.with_capacity.get(driver).copied().unwrap_or(false)
    }

    /// How many placed Pods use a claim.
    pub(crate) fn users(&self, namespace: &str, claim: &str) -> usize {
        self.users.get(&(namespace.to_owned(), claim.to_owned())).copied().unwrap_or(0)
    }

    /// The claim that a volume is being bound to.
    pub(crate) fn is_promised(&self, volume: &str) -> bool {
        self.promised.values().any(|promised| promised == volume)
    }

    /// Promises a volume to a claim while that is being written.
    pub(crate) fn promise(&mut self, claim: Name, volume: String) {
        self.promised.insert(claim, volume);
    }

    /// Takes a promise back, or ends it when it is kept.
    pub(crate) fn end_promise(&mut self, claim: &Name) {
        self.promised.remove(claim);
    }

    pub(crate) fn set_claim(&mut self, claim: PersistentVolumeClaim) -> StorageKind {
        let name = name_of(&claim.metadata);
        self.claims.insert(name.clone(), Arc::new(claim));
        StorageKind::Claim(name)
    }

    pub(crate) fn remove_claim(&mut self, name: &Name) {
        self.claims.remove(name);
        self.end_promise(name);
    }

    pub(crate) fn set_volume(&mut self, volume: PersistentVolume) -> StorageKind {
        self.volumes.insert(volume.metadata.name.clone().unwrap_or_default(), Arc::new(volume));
        StorageKind::Volume
    }

    pub(crate) fn remove_volume(&mut self, name: &str) {
        self.volumes.remove(name);
    }

    pub(crate) fn set_class(&mut self, class: StorageClass) -> StorageKind {
        self.classes.insert(class.metadata.name.clone().unwrap_or_default(), Arc::new(class));
        StorageKind::Class
    }

    pub(crate) fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }

    pub(crate) fn set_csi_node(&mut self, node: &CSINode) -> StorageKind {
        let drivers = node.spec.drivers.iter().map(|driver| {
            let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
            (driver.name.clone(), count.and_then(|count| usize::try_from(count).ok()))
        });
        self.limits.insert(node.metadata.name.clone().unwrap_or_default(), drivers.collect());
        StorageKind::CsiNode
    }

    pub(crate) fn remove_csi_node(&mut self, name: &str) {
        self.limits.remove(name);
    }

    pub(crate) fn set_capacity(&mut self, capacity: CSIStorageCapacity) -> StorageKind {
        self.capacities.insert(name_of(&capacity.metadata), Arc::new(capacity));
        StorageKind::Capacity
    }

    pub(crate) fn remove_capacity(&mut self, name: &Name) {
        self.capacities.remove(name);
    }

    pub(crate) fn set_driver(&mut self, driver: &CSIDriver) -> StorageKind {
        let tells = driver.spec.storage_capacity.unwrap_or(false);
        self.with_capacity.insert(driver.metadata.name.clone().unwrap_or_default(), tells);
        StorageKind::Driver
    }

    pub(crate) fn remove_driver(&mut self, name: &str) {
        self.with_capacity.remove(name);
    }

    pub(super) fn count_user(&mut self, namespace: &str, claim: &str) {
        *self.users.entry((namespace.to_owned(), claim.to_owned())).or_default() += 1;
    }

    pub(super) fn uncount_user(&mut self, namespace: &str, claim: &str) {
        let name = (namespace.to_owned(), claim.to_owned());
        if let Some(users) = self.users.get_mut(&name) {
            *users -= 1;
            if *users == 0 {
                self.users.remove(&name);
            }
        }
    }
}

pub(super) fn name_of(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Name {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}
