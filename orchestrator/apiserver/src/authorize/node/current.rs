//! The graph of what is in the store, kept current.
//!
//! # Guarantees
//! A change that was acknowledged counts in every decision that begins later. Only what changed is read again. Where no
//! node asks anything, no graph is made.

use parking_lot::Mutex;
use wherry_api::kinds::{Kind, by_kind, optional};
use wherry_schema::Value;
use wherry_store::{Entry, Event, EventKind, Revision, Store, Watch, WatchError};

use super::graph::{Graph, Thing, Vertex};
use crate::codec;
use crate::follow::catch_up;

/// The kinds that edges come from.
const SOURCES: [(&str, &str, Thing); 5] = [
    ("", "PersistentVolume", Thing::Volume),
    ("", "Pod", Thing::Pod),
    ("certificates.k8s.io", "PodCertificateRequest", Thing::PodCertificate),
    ("resource.k8s.io", "ResourceSlice", Thing::Slice),
    ("storage.k8s.io", "VolumeAttachment", Thing::Attachment),
];

/// The graph, and where it comes from.
pub(super) struct Current {
    store: Store,
    state: Mutex<Option<State>>,
}

struct State {
    graph: Graph,
    /// The revision up to which the graph is known to be right.
    checked: Revision,
    sources: Vec<Source>,
}

/// The objects of one kind.
struct Source {
    kind: &'static Kind,
    thing: Thing,
    /// Tells of changes after the graph was made.
    changes: Watch,
}

impl Current {
    pub(super) fn new(store: Store) -> Self {
        Self { store, state: Mutex::new(None) }
    }

    /// Whether a node has to do with an object as of now.
    pub(super) fn leads(&self, node: &str, from: &Vertex) -> bool {
        let revision = self.store.revision();
        let mut state = self.state.lock();
        if state.as_mut().is_some_and(|state| !state.follow(revision)) {
            *state = None;
        }
        if state.is_none() {
            // A store that is closed tells nobody anything.
            *state = State::new(&self.store).ok();
        }
        state.as_ref().is_some_and(|state| state.graph.leads(node, from))
    }
}

impl State {
    fn new(store: &Store) -> Result<Self, WatchError> {
        let snapshot = store.snapshot();
        let checked = snapshot.revision();
        let mut graph = Graph::default();
        let mut sources = Vec::new();
        for (group, kind, thing) in SOURCES {
            let kind = by_kind(group, "v1", kind).or_else(|| optional(group, kind));
            let kind = kind.expect("the tables of kinds have what edges come from");
            let prefix = codec::prefix(kind, None);
            let source = Source { kind, thing, changes: store.watch(&prefix, checked)? };
            for entry in snapshot.range(&prefix, None) {
                source.put(&mut graph, entry);
            }
            sources.push(source);
        }
        Ok(Self { graph, checked, sources })
    }

    /// Takes over what changed up to a revision; false if that cannot be told from memory any more.
    fn follow(&mut self, revision: Revision) -> bool {
        if self.checked >= revision {
            return true;
        }
        let Self { graph, sources, .. } = self;
        let followed = sources.iter_mut().all(|source| source.follow(graph, revision));
        if followed {
            self.checked = revision;
        }
        followed
    }
}

impl Source {
    fn follow(&mut self, graph: &mut Graph, revision: Revision) -> bool {
        let mut events = Vec::new();
        let followed = catch_up(&mut self.changes, revision, |event| events.push(event));
        for event in events {
            self.apply(graph, &event);
        }
        followed
    }

    fn apply(&self, graph: &mut Graph, event: &Event) {
        match event.kind {
            EventKind::Put => self.put(graph, &event.entry),
            EventKind::Delete => graph.remove(&self.vertex(&event.entry)),
        }
    }

    fn put(&self, graph: &mut Graph, entry: &Entry) {
        // Most Pods that wait for a node need not be read.
        if self.thing == Thing::Pod && entry.attributes.get("=spec.nodeName").is_none() {
            return graph.remove(&self.vertex(entry));
        }
        match Value::from_json(&entry.value) {
            Ok(object) => graph.put(self.vertex(entry), &object),
            Err(error) => {
                tracing::error!(key = &*entry.key, %error, "an object cannot be read; it leads nodes nowhere");
                graph.remove(&self.vertex(entry));
            }
        }
    }

    fn vertex(&self, entry: &Entry) -> Vertex {
        let (namespace, name) = codec::split_key(self.kind, &entry.key);
        Vertex::new(self.thing, namespace, name)
    }
}
