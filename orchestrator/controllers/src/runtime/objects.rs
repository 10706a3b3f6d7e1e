//! What a cache holds: objects by name, and by who manages them. In order, so that the same events lead to the same acts.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;

use crate::objects::meta::controller_of;

type Names<K> = BTreeMap<String, Arc<K>>;

/// See the module's documentation.
pub(super) struct Objects<K> {
    /// By namespace and name.
    names: BTreeMap<String, Names<K>>,
    /// By namespace, uid of the managing owner (empty if there is none) and name.
    owners: BTreeMap<String, BTreeMap<String, Names<K>>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { names: BTreeMap::new(), owners: BTreeMap::new() }
    }
}

impl<K> Objects<K> {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.names.get(namespace)?.get(name)
    }

    pub(super) fn namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<K>> {
        self.names.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<K>> {
        self.names.values().flat_map(BTreeMap::values)
    }

    /// The objects that the owner of this uid manages; those nobody manages for an empty uid.
    pub(super) fn managed_by(&self, namespace: &str, owner: &str) -> impl Iterator<Item = &Arc<K>> {
        let owned = self.owners.get(namespace).and_then(|owners| owners.get(owner));
        owned.into_iter().flat_map(BTreeMap::values)
    }
}

impl<K: ResourceExt> Objects<K> {
    /// Stores the object unless a newer state of it is there; returns what was there.
    pub(super) fn put(&mut self, object: &Arc<K>) -> Option<Arc<K>> {
        let (namespace, name) = place(&**object);
        let old = self.get(namespace, name).cloned();
        if old.as_ref().is_none_or(|old| revision(&**old) <= revision(&**object)) {
            if let Some(old) = &old {
                self.disown(&**old);
            }
            let owners = self.owners.entry(namespace.to_owned()).or_default();
            let owned = owners.entry(owner(&**object).to_owned()).or_default();
            owned.insert(name.to_owned(), object.clone());
            let names = self.names.entry(namespace.to_owned()).or_default();
            names.insert(name.to_owned(), object.clone());
        }
        old
    }

    /// Removes the object unless it was created again since.
    pub(super) fn take(&mut self, object: &K) -> Option<Arc<K>> {
        let (namespace, name) = place(object);
        let names = self.names.get_mut(namespace)?;
        let held = names.get(name)?;
        if held.meta().uid != object.meta().uid && revision(&**held) > revision(object) {
            return None;
        }
        let taken = names.remove(name)?;
        if names.is_empty() {
            self.names.remove(namespace);
        }
        self.disown(&*taken);
        Some(taken)
    }

    fn disown(&mut self, object: &K) {
        let (namespace, name) = place(object);
        let Some(owners) = self.owners.get_mut(namespace) else { return };
        let owner = owner(object);
        if let Some(owned) = owners.get_mut(owner) {
            owned.remove(name);
            if owned.is_empty() {
                owners.remove(owner);
            }
        }
        if owners.is_empty() {
            self.owners.remove(namespace);
        }
    }
}

fn place<K: ResourceExt>(object: &K) -> (&str, &str) {
    let meta = object.meta();
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

fn owner<K: ResourceExt>(object: &K) -> &str {
    controller_of(object.meta()).map(|owner| owner.uid.as_str()).unwrap_or_default()
}

/// The object's resource version as the store's revision.
pub(crate) fn revision<K: ResourceExt>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
