//! The objects that plugins look at besides Pods, nodes and namespaces: storage, and who selects which Pods.

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, ReplicationController, Service};
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use wherry_api::selector::LabelSelector;

use super::Scheduler;
use super::listing::Listing;
use crate::cluster::{Devices, Name, OwnerKind, Selectors, Storage};
use crate::event::StorageKind;
use crate::pod::parse_selector;

/// What the watch of one of these kinds reports.
pub(crate) enum Object {
    Claim(Box<Event<PersistentVolumeClaim>>),
    Volume(Box<Event<PersistentVolume>>),
    Class(Box<Event<StorageClass>>),
    CsiNode(Box<Event<CSINode>>),
    Capacity(Box<Event<CSIStorageCapacity>>),
    Driver(Box<Event<CSIDriver>>),
    DeviceClaim(Box<Event<ResourceClaim>>),
    Slice(Box<Event<ResourceSlice>>),
    DeviceClass(Box<Event<DeviceClass>>),
    Service(Box<Event<Service>>),
    ReplicationController(Box<Event<ReplicationController>>),
    ReplicaSet(Box<Event<ReplicaSet>>),
    StatefulSet(Box<Event<StatefulSet>>),
}

/// Their lists.
#[derive(Default)]
pub(super) struct ObjectListings {
    claims: Listing,
    volumes: Listing,
    classes: Listing,
    csi_nodes: Listing,
    capacities: Listing,
    drivers: Listing,
    device_claims: Listing,
    slices: Listing,
    device_classes: Listing,
    services: Listing,
    replication_controllers: Listing,
    replica_sets: Listing,
    stateful_sets: Listing,
}

impl ObjectListings {
    /// Whether all of them are complete.
    pub(super) fn are_complete(&self) -> bool {
        let storage =
            [&self.claims, &self.volumes, &self.classes, &self.csi_nodes, &self.capacities, &self.drivers];
        let selecting =
            [&self.services, &self.replication_controllers, &self.replica_sets, &self.stateful_sets];
        let devices = [&self.device_claims, &self.slices, &self.device_classes];
        storage.into_iter().chain(selecting).chain(devices).all(|listing| listing.is_complete)
    }
}

/// What an event of a watch means: an object as it is now, or names that are gone.
enum Change<K> {
    Set(Box<K>),
    Gone(Vec<Name>),
}

/// Takes an event into a list.
fn absorb<K: ResourceExt>(listing: &mut Listing, event: Event<K>) -> Change<K> {
    let id = |object: &K| format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let name = |id: &str| {
        let (namespace, name) = id.split_once('/').unwrap_or_default();
        (namespace.to_owned(), name.to_owned())
    };
    match event {
        Event::Init => {
            listing.begin();
            Change::Gone(Vec::new())
        }
        Event::InitApply(mut object) | Event::Apply(mut object) => {
            listing.saw(&id(&object));
            object.managed_fields_mut().clear();
            Change::Set(Box::new(object))
        }
        Event::InitDone => Change::Gone(listing.finish().iter().map(|id| name(id)).collect()),
        Event::Delete(object) => {
            listing.forget(&id(&object));
            Change::Gone(vec![name(&id(&object))])
        }
    }
}

/// Takes an event in: sets what is there, forgets what is gone.
fn take_in<K: ResourceExt, S>(
    (listing, event): (&mut Listing, Box<Event<K>>),
    state: &mut S,
    set: impl FnOnce(&mut S, K) -> StorageKind,
    remove: impl Fn(&mut S, &Name),
) -> Option<StorageKind> {
    match absorb(listing, *event) {
        Change::Set(object) => Some(set(state, *object)),
        Change::Gone(names) => {
            for name in &names {
                remove(state, name);
            }
            None
        }
    }
}

impl Scheduler {
    pub(super) fn take_in_object(&mut self, object: Object) {
        let (lists, storage) = (&mut self.listings.objects, &mut self.cluster.storage);
        let changed = match object {
            Object::Claim(event) => {
                take_in((&mut lists.claims, event), storage, Storage::set_claim, Storage::remove_claim)
            }
            Object::Volume(event) => {
                let remove = |storage: &mut Storage, name: &Name| storage.remove_volume(&name.1);
                take_in((&mut lists.volumes, event), storage, Storage::set_volume, remove)
            }
            Object::Class(event) => {
                let remove = |storage: &mut Storage, name: &Name| storage.remove_class(&name.1);
                take_in((&mut lists.classes, event), storage, Storage::set_class, remove)
            }
            Object::CsiNode(event) => {
                let remove = |storage: &mut Storage, name: &Name| storage.remove_csi_node(&name.1);
                take_in(
                    (&mut lists.csi_nodes, event),
                    storage,
                    |storage, node| storage.set_csi_node(&node),
                    remove,
                )
            }
            Object::Capacity(event) => take_in(
                (&mut lists.capacities, event),
                storage,
                Storage::set_capacity,
                Storage::remove_capacity,
            ),
            Object::Driver(event) => {
                let remove = |storage: &mut Storage, name: &Name| storage.remove_driver(&name.1);
                take_in(
                    (&mut lists.drivers, event),
                    storage,
                    |storage, driver| storage.set_driver(&driver),
                    remove,
                )
            }
            Object::Service(_)
            | Object::ReplicationController(_)
            | Object::ReplicaSet(_)
            | Object::StatefulSet(_) => {
                self.take_in_selecting(object);
                return;
            }
            Object::DeviceClaim(_) | Object::Slice(_) | Object::DeviceClass(_) => {
                self.take_in_devices(object);
                return;
            }
        };
        if let Some(kind) = changed {
            self.happened(Some(crate::event::Event::StorageChanged(kind)));
            self.claims_changed();
        }
    }

    fn take_in_devices(&mut self, object: Object) {
        let (lists, devices) = (&mut self.listings.objects, &mut self.cluster.devices);
        let changes: Vec<_> = match object {
            Object::DeviceClaim(event) => match absorb(&mut lists.device_claims, *event) {
                Change::Set(claim) => vec![devices.set_claim(*claim)],
                Change::Gone(names) => names.iter().map(|name| devices.remove_claim(name)).collect(),
            },
            Object::Slice(event) => {
                let remove = |devices: &mut Devices, name: &Name| devices.remove_slice(&name.1);
                take_in((&mut lists.slices, event), devices, Devices::set_slice, remove).into_iter().collect()
            }
            Object::DeviceClass(event) => {
                let remove = |devices: &mut Devices, name: &Name| devices.remove_class(&name.1);
                let taken = take_in((&mut lists.device_classes, event), devices, Devices::set_class, remove);
                taken.into_iter().collect()
            }
            _ => return,
        };
        for kind in changes {
            self.happened(Some(crate::event::Event::StorageChanged(kind)));
        }
    }

    fn take_in_selecting(&mut self, object: Object) {
        let (lists, selectors) = (&mut self.listings.objects, &mut self.cluster.selectors);
        match object {
            Object::Service(event) => {
                let selector = |service: &Service| {
                    let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone());
                    by_labels(selector)
                };
                for ((namespace, name), selector) in selected(absorb(&mut lists.services, *event), selector) {
                    selectors.set_service(&namespace, &name, selector);
                }
            }
            Object::ReplicationController(event) => {
                let selector = |controller: &ReplicationController| {
                    by_labels(controller.spec.as_ref().and_then(|spec| spec.selector.clone()))
                };
                let changes = selected(absorb(&mut lists.replication_controllers, *event), selector);
                set_owners(selectors, OwnerKind::ReplicationController, changes);
            }
            Object::ReplicaSet(event) => {
                let selector = |set: &ReplicaSet| parse_selector(&set.spec.as_ref()?.selector);
                let changes = selected(absorb(&mut lists.replica_sets, *event), selector);
                set_owners(selectors, OwnerKind::ReplicaSet, changes);
            }
            Object::StatefulSet(event) => {
                let selector = |set: &StatefulSet| parse_selector(&set.spec.as_ref()?.selector);
                let changes = selected(absorb(&mut lists.stateful_sets, *event), selector);
                set_owners(selectors, OwnerKind::StatefulSet, changes);
            }
            Object::Claim(_)
            | Object::Volume(_)
            | Object::Class(_)
            | Object::CsiNode(_)
            | Object::Capacity(_)
            | Object::Driver(_)
            | Object::DeviceClaim(_)
            | Object::Slice(_)
            | Object::DeviceClass(_) => {}
        }
    }
}

type Selected = Vec<(Name, Option<LabelSelector>)>;

/// What an object selects now; nothing for those that are gone.
fn selected<K: ResourceExt>(change: Change<K>, selector: impl Fn(&K) -> Option<LabelSelector>) -> Selected {
    match change {
        Change::Set(object) => {
            let name = (object.namespace().unwrap_or_default(), object.name_any());
            vec![(name, selector(&object))]
        }
        Change::Gone(names) => names.into_iter().map(|name| (name, None)).collect(),
    }
}

fn set_owners(selectors: &mut Selectors, kind: OwnerKind, changes: Selected) {
    for ((namespace, name), selector) in changes {
        selectors.set_owner(&namespace, (kind, name), selector);
    }
}

fn by_labels(labels: Option<std::collections::BTreeMap<String, String>>) -> Option<LabelSelector> {
    parse_selector(&v1::LabelSelector { match_labels: labels, match_expressions: None })
}
