//! Who owns whom, by uid.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::plan::{FOREGROUND, ORPHAN, OwnerState};
use crate::objects::meta::Key;

/// How many uids are remembered as gone.
const REMEMBERED: usize = 4096;

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) key: Key,
    owners: Vec<OwnerReference>,
    is_deleting: bool,
    is_foreground: bool,
    is_orphaning: bool,
}

impl Item {
    fn new(api_version: &str, kind: &str, meta: &ObjectMeta) -> Self {
        let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|held| held == finalizer);
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            key: Key::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default()),
            owners: meta.owner_references.clone().unwrap_or_default(),
            is_deleting: meta.deletion_timestamp.is_some(),
            is_foreground: has(FOREGROUND),
            is_orphaning: has(ORPHAN),
        }
    }

    /// Whether nothing can be left to do about it.
    pub(super) fn is_settled(&self) -> bool {
        if self.is_deleting { !self.is_foreground && !self.is_orphaning } else { self.owners.is_empty() }
    }

    fn waits_for_dependents(&self) -> bool {
        self.is_deleting && self.is_foreground
    }
}

/// A dependent as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dependent {
    pub(super) uid: String,
    /// Whether it keeps an owner from going that is deleted in the foreground.
    pub(super) blocks: bool,
    /// Whether it is deleted itself and waits for its own dependents.
    pub(super) waits: bool,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Graph {
    items: HashMap<String, Item>,
    /// Uids of dependents by uid of the owner, which need not be known itself.
    dependents: HashMap<String, BTreeSet<String>>,
    gone: HashSet<String>,
    gone_order: VecDeque<String>,
}

impl Graph {
    /// The object of this uid.
    pub(super) fn item(&self, uid: &str) -> Option<Item> {
        self.items.get(uid).cloned()
    }

    /// What is known for certain of the owner of this uid.
    pub(super) fn owner_state(&self, uid: &str) -> Option<OwnerState> {
        match self.items.get(uid) {
            Some(item) if item.waits_for_dependents() => Some(OwnerState::WaitsForDependents),
            Some(_) => Some(OwnerState::Present),
            None => self.gone.contains(uid).then_some(OwnerState::Absent),
        }
    }

    /// Whether it stays because all its owners are there. When one goes it is looked at again.
    pub(super) fn is_kept(&self, item: &Item) -> bool {
        let is_there = |owner: &OwnerReference| self.owner_state(&owner.uid) == Some(OwnerState::Present);
        !item.is_deleting && item.owners.iter().all(is_there)
    }

    /// The dependents of an owner.
    pub(super) fn dependents(&self, owner: &str) -> Vec<Dependent> {
        let uids = self.dependents.get(owner).into_iter().flatten();
        let dependents = uids.filter_map(|uid| {
            let item = self.items.get(uid)?;
            let blocks = item
                .owners
                .iter()
                .any(|reference| reference.uid == owner && reference.block_owner_deletion == Some(true));
            Some(Dependent { uid: uid.clone(), blocks, waits: item.waits_for_dependents() })
        });
        dependents.collect()
    }

    /// Takes over an object as it is now; returns the uids that deserve a look.
    pub(super) fn observe(&mut self, api_version: &str, kind: &str, meta: &ObjectMeta) -> Vec<String> {
        let uid = meta.uid.clone().unwrap_or_default();
        let item = Item::new(api_version, kind, meta);
        let before = self.items.insert(uid.clone(), item.clone());
        let owners_changed = before.as_ref().map_or(&[][..], |before| &before.owners) != item.owners;
        if owners_changed {
            for owner in before.iter().flat_map(|before| &before.owners) {
                self.unlink(&owner.uid, &uid);
            }
            for owner in &item.owners {
                self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
            }
        }
        let mut concerned = Vec::new();
        let state = |item: &Item| (item.is_deleting, item.is_foreground, item.is_orphaning);
        let state_changed = before.as_ref().is_none_or(|before| state(before) != state(&item));
        if owners_changed {
            let owners = before.iter().flat_map(|before| &before.owners).chain(&item.owners);
            concerned.extend(owners.map(|owner| owner.uid.clone()).filter(|owner| self.is_waiting(owner)));
        }
        if item.waits_for_dependents() && state_changed {
            concerned.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        }
        if !item.is_settled() && (owners_changed || state_changed) {
            concerned.push(uid);
        }
        concerned
    }

    /// Forgets an object that is gone; returns the uids that deserve a look.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(item) = self.items.remove(uid) else { return Vec::new() };
        self.remember_gone(uid);
        let mut concerned: Vec<_> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        for owner in &item.owners {
            self.unlink(&owner.uid, uid);
            if self.is_waiting(&owner.uid) {
                concerned.push(owner.uid.clone());
            }
        }
        concerned
    }

    fn is_waiting(&self, uid: &str) -> bool {
        self.items.get(uid).is_some_and(Item::waits_for_dependents)
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    fn remember_gone(&mut self, uid: &str) {
        if self.gone.insert(uid.to_owned()) {
            self.gone_order.push_back(uid.to_owned());
        }
        if self.gone_order.len() > REMEMBERED
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }
}
