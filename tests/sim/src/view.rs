//! What is in the store, as the sum of its events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;
use wherry_store::{Event, EventKind};

use crate::object::{controller, text, uid};

/// What changes all the time and says nothing of what is simulated.
const NOISE: [&str; 2] = ["/leases/", "/events/"];

/// Reads events, and remembers each object until its next one.
#[derive(Debug, Default)]
pub(crate) struct Reader(HashMap<Arc<str>, Arc<Value>>);

impl Reader {
    /// Reads an event; none for what is no object, or noise.
    pub(crate) fn read(&mut self, event: &Event) -> Option<Change> {
        let key = &event.entry.key;
        if NOISE.iter().any(|noise| key.contains(noise)) {
            return None;
        }
        let (old, new) = match event.kind {
            EventKind::Put => {
                let new = serde_json::from_slice::<Value>(&event.entry.value).ok().map(Arc::new)?;
                (self.0.insert(Arc::clone(key), Arc::clone(&new)), Some(new))
            }
            EventKind::Delete => (Some(self.0.remove(key)?), None),
        };
        let kind = text(new.as_ref().or(old.as_ref())?, "kind").to_owned();
        Some(Change { revision: event.revision, kind, old, new })
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The revision that made it.
    pub(crate) revision: u64,
    /// The object's kind.
    pub(crate) kind: String,
    /// The object before.
    pub(crate) old: Option<Arc<Value>>,
    /// The object now; none if it is gone.
    pub(crate) new: Option<Arc<Value>>,
}

impl Change {
    /// The object as it was last.
    pub(crate) fn last(&self) -> &Value {
        self.new.as_ref().or(self.old.as_ref()).map_or(&Value::Null, |object| object)
    }

    /// Whether the object is new.
    pub(crate) fn is_creation(&self) -> bool {
        self.old.is_none()
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match (&self.old, &self.new) {
            (None, _) => "created",
            (_, None) => "gone",
            _ => "changed",
        };
        let object = self.last();
        write!(f, "{:>6} {what:<7} {} {}", self.revision, self.kind, crate::object::name(object))?;
        if self.kind == "Pod" {
            let going = if crate::object::is_terminating(object) { " terminating" } else { "" };
            let ready = if crate::object::is_true(object, "Ready") { " ready" } else { "" };
            write!(f, " {}{ready}{going}", text(object, "status.phase"))?;
        } else if let Some(replicas) = object["spec"]["replicas"].as_i64() {
            write!(f, " replicas={replicas}")?;
        }
        Ok(())
    }
}

/// All objects, by kind and uid.
#[derive(Debug, Default)]
pub(crate) struct View(BTreeMap<String, BTreeMap<String, Arc<Value>>>);

impl View {
    /// Takes a change in.
    pub(crate) fn take(&mut self, change: &Change) {
        let objects = self.0.entry(change.kind.clone()).or_default();
        if let Some(old) = &change.old {
            objects.remove(uid(old));
        }
        if let Some(new) = &change.new {
            objects.insert(uid(new).to_owned(), Arc::clone(new));
        }
    }

    /// All objects of a kind, by uid.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Arc<Value>> {
        self.0.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    /// The object of a kind that has this uid.
    pub(crate) fn get(&self, kind: &str, uid: &str) -> Option<&Arc<Value>> {
        self.0.get(kind)?.get(uid)
    }

    /// The objects of a kind that an owner manages.
    pub(crate) fn owned(&self, kind: &str, owner: &str) -> impl Iterator<Item = &Arc<Value>> {
        self.all(kind).filter(move |object| controller(object) == owner)
    }

    /// Whether any object has this uid.
    pub(crate) fn has(&self, uid: &str) -> bool {
        self.0.values().any(|objects| objects.contains_key(uid))
    }

    /// Every object there is.
    pub(crate) fn everything(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.0.values().flat_map(BTreeMap::values)
    }
}
