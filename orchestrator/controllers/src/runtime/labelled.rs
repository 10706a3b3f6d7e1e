//! Objects by their labels. Only keys that somebody looked for are kept in mind, so what nobody selects by costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;

use super::objects::{Names, place};
use crate::objects::meta::labels;

/// Objects by namespace, value of a label and name.
type Values<K> = BTreeMap<String, BTreeMap<String, Names<K>>>;

/// See the module's documentation.
pub(super) struct Labelled<K> {
    keys: BTreeMap<String, Values<K>>,
}

impl<K> Default for Labelled<K> {
    fn default() -> Self {
        Self { keys: BTreeMap::new() }
    }
}

impl<K: ResourceExt> Labelled<K> {
    /// Whether objects can be found by labels of this key.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Has objects be found by this key; `all` are those there are.
    pub(super) fn learn<'a>(&mut self, key: &str, all: impl Iterator<Item = &'a Arc<K>>)
    where
        K: 'a,
    {
        if self.knows(key) {
            return;
        }
        let mut values = Values::new();
        all.for_each(|object| file(&mut values, key, object));
        self.keys.insert(key.to_owned(), values);
    }

    /// The objects of a namespace that have this label, by name.
    pub(super) fn with(&self, namespace: &str, key: &str, value: &str) -> Option<&Names<K>> {
        self.keys.get(key)?.get(namespace)?.get(value)
    }

    /// Takes note of an object.
    pub(super) fn put(&mut self, object: &Arc<K>) {
        for (key, values) in &mut self.keys {
            file(values, key, object);
        }
    }

    /// Forgets an object, as it was noted.
    pub(super) fn take(&mut self, object: &K) {
        let (namespace, name) = place(object);
        for (key, values) in &mut self.keys {
            let Some(value) = labels(object.meta()).get(key) else { continue };
            let Some(of_namespace) = values.get_mut(namespace) else { continue };
            if let Some(names) = of_namespace.get_mut(value) {
                names.remove(name);
                if names.is_empty() {
                    of_namespace.remove(value);
                }
            }
            if of_namespace.is_empty() {
                values.remove(namespace);
            }
        }
    }
}

fn file<K: ResourceExt>(values: &mut Values<K>, key: &str, object: &Arc<K>) {
    let Some(value) = labels(object.meta()).get(key) else { return };
    let (namespace, name) = place(&**object);
    let of_namespace = values.entry(namespace.to_owned()).or_default();
    of_namespace.entry(value.clone()).or_default().insert(name.to_owned(), object.clone());
}
