//! A cache of all objects of one kind, fed by one watch and shared by all controllers.
//!
//! Flow: the watch applies its events in order; each event changes the content and then calls the handlers, so
//! that whatever a handler enqueues finds the change in the cache. A controller may also [`Cache::note`] what a
//! write of its own returned, and so reads its own writes before the watch reports them.
//!
//! Guarantees: a note never brings back an older state. Resource versions are the store's revisions and the
//! watch reports them in order, so a note at or below the last revision the watch reported is already known.
//!
//! A handler belongs to a life of a controller and is dropped when that is over. A handler registered late first hears
//! of everything there is.
//!
//! A note does not call handlers; the watch will, and tells them what changed since it last told of the object, whatever was noted
//! meanwhile.
//!
//! Caveats: an object in a cache lacks its managed fields, and what the cache's
//! `trim` takes away: where that matters it is read anew before it is written back.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use parking_lot::RwLock;
use tokio::sync::SetOnce;

use super::life::Life;
use super::objects::{Objects, revision};
use super::watch::Event;
use crate::objects::meta::Key;

/// What happened to one object.
pub(crate) struct Change<'a, K> {
    /// The object before; absent if it is new.
    pub(crate) old: Option<&'a Arc<K>>,
    /// The object now; absent if it was deleted.
    pub(crate) new: Option<&'a Arc<K>>,
}

impl<K> Change<'_, K> {
    /// The object as it was last seen.
    pub(crate) fn last(&self) -> Option<&Arc<K>> {
        self.new.or(self.old)
    }

    /// The object before and now, as far as there was one.
    pub(crate) fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.into_iter().chain(self.new)
    }
}

type Handler<K> = (Life, Box<dyn Fn(&Change<'_, K>) + Send + Sync>);

struct Content<K> {
    objects: Objects<K>,
    /// Of objects whose last note the watch has not reported yet: what it last did.
    told: BTreeMap<Key, Option<Arc<K>>>,
    /// The highest revision the watch has reported, or that of the list it began with.
    seen: u64,
}

struct Shared<K> {
    content: RwLock<Content<K>>,
    handlers: RwLock<Vec<Handler<K>>>,
    synced: SetOnce<()>,
    /// Takes away what no controller reads.
    trim: fn(&mut K),
}

/// See the module's documentation. Clones share their content.
pub(crate) struct Cache<K> {
    shared: Arc<Shared<K>>,
    /// The life that handlers registered here belong to.
    life: Life,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        self.of_life(&self.life)
    }
}

impl<K> Cache<K> {
    /// An empty cache. `trim` takes away what no controller reads of an object.
    pub(crate) fn new(life: Life, trim: fn(&mut K)) -> Self {
        let content = Content { objects: Objects::default(), told: BTreeMap::new(), seen: 0 };
        let synced = SetOnce::new();
        let shared = Shared { content: RwLock::new(content), handlers: RwLock::default(), synced, trim };
        Self { shared: Arc::new(shared), life }
    }

    /// The same cache, for handlers of this life.
    pub(crate) fn of_life(&self, life: &Life) -> Self {
        Self { shared: self.shared.clone(), life: life.clone() }
    }
}

impl<K: ResourceExt> Cache<K> {
    /// Calls `handler` for every object there is, as if it were new, and after every later change.
    pub(crate) fn on_change(&self, handler: impl Fn(&Change<'_, K>) + Send + Sync + 'static) {
        let mut handlers = self.shared.handlers.write();
        handlers.retain(|(life, _)| !life.is_over());
        for object in self.all() {
            self.life.call(|| handler(&Change { old: None, new: Some(&object) }));
        }
        handlers.push((self.life.clone(), Box::new(handler)));
    }

    /// Waits for the first complete list.
    pub(crate) async fn synced(&self) {
        self.shared.synced.wait().await;
    }

    /// The object of this key.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.shared.content.read().objects.get(&key.namespace, &key.name).cloned()
    }

    /// The cluster-scoped object of this name.
    pub(crate) fn get_global(&self, name: &str) -> Option<Arc<K>> {
        self.shared.content.read().objects.get("", name).cloned()
    }

    /// All objects of a namespace, by name.
    pub(crate) fn namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.select(namespace, |_| true)
    }

    /// The objects of a namespace that satisfy `wanted`.
    pub(crate) fn select(&self, namespace: &str, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let content = self.shared.content.read();
        content.objects.namespace(namespace).filter(|object| wanted(object)).cloned().collect()
    }

    /// The objects of a namespace that have all these labels, by name. What it costs depends on how many have one of them, not on how
    /// many there are, but for the first time that somebody looks for labels of a key.
    pub(crate) fn with_labels(&self, namespace: &str, wanted: &BTreeMap<String, String>) -> Vec<Arc<K>> {
        let content = self.shared.content.read();
        if content.objects.knows(wanted.keys()) {
            return content.objects.with_labels(namespace, wanted).into_iter().cloned().collect();
        }
        drop(content);
        let mut content = self.shared.content.write();
        content.objects.learn(wanted.keys());
        content.objects.with_labels(namespace, wanted).into_iter().cloned().collect()
    }

    /// The objects that the owner of this uid manages.
    pub(crate) fn managed_by(&self, namespace: &str, owner: &str) -> Vec<Arc<K>> {
        self.shared.content.read().objects.managed_by(namespace, owner).cloned().collect()
    }

    /// The objects that the owner of this uid manages, and those that nobody manages and it may take.
    pub(crate) fn claimable(&self, namespace: &str, owner: &str, takes: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let content = self.shared.content.read();
        let orphans = content.objects.managed_by(namespace, "").filter(|object| takes(object));
        content.objects.managed_by(namespace, owner).chain(orphans).cloned().collect()
    }

    /// All objects, by namespace and name.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.shared.content.read().objects.all().cloned().collect()
    }

    /// Takes over what a write of our own returned.
    pub(crate) fn note(&self, object: K) {
        self.note_all([object]);
    }

    /// Takes over what a list of our own returned.
    pub(crate) fn note_all(&self, objects: impl IntoIterator<Item = K>) {
        let mut content = self.shared.content.write();
        for object in objects {
            // What is older than what the watch has reported is known.
            if revision(&object) > content.seen {
                let object = self.held(object);
                let before = content.objects.put(&object);
                content.told.entry(Key::of(&*object)).or_insert(before);
            }
        }
    }

    /// Takes over one event of the watch.
    pub(crate) fn apply(&self, event: Event<K>) {
        match event {
            Event::Listed(objects, at) => {
                let listed: Vec<_> = objects.into_iter().map(|object| self.held(object)).collect();
                self.replace(&listed, at);
            }
            Event::Apply(object) => self.apply_one(&self.held(object)),
            Event::Delete(object) => self.delete_one(&object),
        }
    }

    /// An object as it is held.
    fn held(&self, mut object: K) -> Arc<K> {
        object.meta_mut().managed_fields = None;
        (self.shared.trim)(&mut object);
        Arc::new(object)
    }

    fn apply_one(&self, object: &Arc<K>) {
        let old = {
            let mut content = self.shared.content.write();
            content.seen = content.seen.max(revision(&**object));
            let before = content.objects.put(object);
            let key = Key::of(&**object);
            let told = content.told.remove(&key);
            if before.as_ref().is_some_and(|before| revision(&**before) > revision(&**object)) {
                content.told.insert(key, Some(object.clone()));
            }
            told.unwrap_or(before)
        };
        self.announce(old.as_ref(), Some(object));
    }

    fn delete_one(&self, object: &K) {
        let old = {
            let mut content = self.shared.content.write();
            content.seen = content.seen.max(revision(object));
            let key = Key::of(object);
            let told = content.told.remove(&key).flatten();
            let taken = content.objects.take(object);
            if taken.is_none() && content.objects.get(&key.namespace, &key.name).is_some() {
                // Its successor was noted.
                content.told.insert(key, None);
            }
            told.or(taken)
        };
        if let Some(old) = old {
            self.announce(Some(&old), None);
        }
    }

    /// Replaces the content by the list of a revision and announces the differences. What was noted since stays.
    fn replace(&self, listed: &[Arc<K>], at: u64) {
        let (mut before, mut told) = {
            let mut content = self.shared.content.write();
            content.seen = content.seen.max(at);
            let (mut objects, mut told) = (Objects::default(), BTreeMap::new());
            for object in listed {
                objects.put(object);
            }
            for noted in content.objects.all().filter(|object| revision(&***object) > at) {
                told.insert(Key::of(&**noted), objects.put(noted));
            }
            (std::mem::replace(&mut content.objects, objects), std::mem::replace(&mut content.told, told))
        };
        for object in listed {
            let held = before.take(&**object);
            let old = told.remove(&Key::of(&**object)).unwrap_or(held);
            if old.as_ref().is_none_or(|old| revision(&**old) != revision(&**object)) {
                self.announce(old.as_ref(), Some(object));
            }
        }
        for held in before.all() {
            let told = told.remove(&Key::of(&**held)).flatten();
            if let Some(gone) = told.as_ref().or(Some(held).filter(|held| revision(&***held) <= at)) {
                self.announce(Some(gone), None);
            }
        }
        // A later list changes nothing of that.
        self.shared.synced.set(()).ok();
    }

    fn announce(&self, old: Option<&Arc<K>>, new: Option<&Arc<K>>) {
        let change = Change { old, new };
        for (life, handler) in self.shared.handlers.read().iter() {
            life.call(|| handler(&change));
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
