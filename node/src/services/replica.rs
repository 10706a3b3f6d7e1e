//! A local copy of one kind of object, as far as somebody needs it.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::runtime::watcher::Event;

use super::model::ObjectKey;

/// What a watch told of one kind of object.
pub(crate) struct Replica<T> {
    objects: BTreeMap<ObjectKey, T>,
    /// While a list is received: what it named so far.
    listed: Option<BTreeSet<ObjectKey>>,
    complete: bool,
}

impl<T> Default for Replica<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listed: None, complete: false }
    }
}

impl<T: PartialEq> Replica<T> {
    /// Applies an event; returns the keys whose value changed, with the value before.
    pub(crate) fn record<K: ResourceExt>(
        &mut self,
        event: &Event<K>,
        parse: impl Fn(&K) -> Option<T>,
    ) -> Vec<(ObjectKey, Option<T>)> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let key = ObjectKey::of(object);
                self.listed.get_or_insert_default().insert(key.clone());
                self.set(key, parse(object))
            }
            Event::InitDone => {
                self.complete = true;
                let listed = self.listed.take().unwrap_or_default();
                let gone: Vec<ObjectKey> =
                    self.objects.keys().filter(|key| !listed.contains(key)).cloned().collect();
                gone.into_iter().flat_map(|key| self.set(key, None)).collect()
            }
            Event::Apply(object) => self.set(ObjectKey::of(object), parse(object)),
            Event::Delete(object) => self.set(ObjectKey::of(object), None),
        }
    }

    /// The object of that key.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&T> {
        self.objects.get(key)
    }

    /// All objects, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &T)> {
        self.objects.iter()
    }

    /// Whether the list has been seen to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    fn set(&mut self, key: ObjectKey, value: Option<T>) -> Vec<(ObjectKey, Option<T>)> {
        if self.objects.get(&key) == value.as_ref() {
            return Vec::new();
        }
        let old = match value {
            Some(value) => self.objects.insert(key.clone(), value),
            None => self.objects.remove(&key),
        };
        vec![(key, old)]
    }
}
