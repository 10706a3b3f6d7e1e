//! What a cache holds: objects by name, by who manages them, and by those labels that somebody looked for. In order, so that the same
//! events lead to the same acts.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;

use super::labelled::Labelled;
use crate::objects::meta::{controller_of, labels};

pub(super) type Names<K> = BTreeMap<String, Arc<K>>;

/// See the module's documentation.
pub(super) struct Objects<K> {
    /// By namespace and name.
    names: BTreeMap<String, Names<K>>,
    /// By namespace, uid of the managing owner (empty if there is none) and name.
    owners: BTreeMap<String, BTreeMap<String, Names<K>>>,
    labelled: Labelled<K>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { names: BTreeMap::new(), owners: BTreeMap::new(), labelled: Labelled::default() }
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
    /// Whether objects can be found by labels of these keys.
    pub(super) fn knows<'k>(&self, keys: impl IntoIterator<Item = &'k String>) -> bool {
        keys.into_iter().all(|key| self.labelled.knows(key))
    }

    /// Has objects be found by labels of these keys from now on.
    pub(super) fn learn<'k>(&mut self, keys: impl IntoIterator<Item = &'k String>) {
        let Self { names, labelled, .. } = self;
        for key in keys {
            labelled.learn(key, names.values().flat_map(BTreeMap::values));
        }
    }

    /// The objects of a namespace that have all these labels, of keys that it knows.
    pub(super) fn with_labels(&self, namespace: &str, wanted: &BTreeMap<String, String>) -> Vec<&Arc<K>> {
        let fewest = wanted.iter().map(|(key, value)| self.labelled.with(namespace, key, value));
        let Some(candidates) = fewest.min_by_key(|found| found.map_or(0, BTreeMap::len)) else {
            return self.namespace(namespace).collect();
        };
        let has_all = |object: &&Arc<K>| {
            let found = labels(object.meta());
            wanted.iter().all(|(key, value)| found.get(key) == Some(value))
        };
        candidates.into_iter().flat_map(BTreeMap::values).filter(has_all).collect()
    }

    /// Stores the object unless a newer state of it is there; returns what was there.
    pub(super) fn put(&mut self, object: &Arc<K>) -> Option<Arc<K>> {
        let (namespace, name) = place(&**object);
        let old = self.get(namespace, name).cloned();
        if old.as_ref().is_none_or(|old| revision(&**old) <= revision(&**object)) {
            if let Some(old) = &old {
                self.disown(&**old);
                self.labelled.take(&**old);
            }
            let owners = self.owners.entry(namespace.to_owned()).or_default();
            let owned = owners.entry(owner(&**object).to_owned()).or_default();
            owned.insert(name.to_owned(), object.clone());
            let names = self.names.entry(namespace.to_owned()).or_default();
            names.insert(name.to_owned(), object.clone());
            self.labelled.put(object);
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
        self.labelled.take(&*taken);
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

/// The object's namespace and name.
pub(super) fn place<K: ResourceExt>(object: &K) -> (&str, &str) {
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
