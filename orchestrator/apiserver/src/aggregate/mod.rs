//! Aggregation: versions of groups that other servers serve, as APIServices say.
//!
//! ```text
//! a request to /apis/G/V that leads nowhere here -> the APIService V.G -> forward: to the Service it names, with the
//!   caller's name and groups in headers that the other server believes from this one's certificate; if it names none,
//!   to the part of this process that serves the version, if there is one
//! ```
//!
//! Reading order: `remote` (who serves a version), `forward` (a request passed on), `ask` (what this server asks for itself), `availability` (whether
//! another server works), `discover` and `documents` (what discovery and OpenAPI tell of what others serve).
//!
//! # Guarantees
//! What this server serves itself is never passed on, whatever an APIService says. The caller's credentials stay here.

mod ask;
pub(crate) mod availability;
pub(crate) mod discover;
pub(crate) mod documents;
pub(crate) mod forward;
mod remote;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use wherry_schema::Value;
use wherry_store::{Snapshot, Store};

use crate::codec;
use crate::config::HostedVersion;
use crate::follow::{Follower, Made};
use crate::object::Fields;
use discover::Merged;
use documents::Documents;
pub(crate) use remote::Remote;

/// What other servers serve, as of now.
pub(crate) struct Aggregated {
    remotes: Follower<Remotes>,
    /// What servers told last. A change makes a new one, unless nobody else holds this one.
    told: Mutex<Arc<Told>>,
    /// The document of all groups as it was made last.
    merged: Mutex<Option<Merged>>,
    /// What OpenAPI tells of them.
    pub(crate) documents: Documents,
}

/// The resources of a version as the server of it told them, by the name of the APIService.
#[derive(Clone, Default)]
struct Told(HashMap<String, Arc<Value>>);

/// All versions that others serve.
pub(crate) struct Remotes {
    /// What other parts of this process serve, unless an APIService names a server for it.
    hosted: Vec<Arc<Remote>>,
    /// All of them, by group and version.
    all: BTreeMap<(String, String), Arc<Remote>>,
}

impl Aggregated {
    pub(crate) fn new(store: &Store, hosted: &[HostedVersion]) -> Self {
        let hosted = hosted.iter().map(|hosted| Arc::new(Remote::here(hosted))).collect();
        Self {
            remotes: Follower::new(store, &Remotes { hosted, all: BTreeMap::new() }),
            told: Mutex::default(),
            merged: Mutex::default(),
            documents: Documents::default(),
        }
    }

    /// All of them.
    pub(crate) fn remotes(&self) -> Arc<Remotes> {
        self.remotes.now()
    }

    /// A server told of its resources.
    fn tell(&self, name: &str, resources: Value) {
        let mut told = self.told.lock();
        if told.0.get(name).is_none_or(|known| **known != resources) {
            Arc::make_mut(&mut told).0.insert(name.to_owned(), Arc::new(resources));
        }
    }

    /// A server does not answer any more.
    fn forget(&self, name: &str) {
        let mut told = self.told.lock();
        if told.0.contains_key(name) {
            Arc::make_mut(&mut told).0.remove(name);
        }
    }

    /// The server that has the OpenAPI document of this name.
    pub(crate) fn document(&self, name: &str) -> Option<Arc<Remote>> {
        let service = self.documents.has(name)?;
        self.remotes().all().find(|remote| remote.name == service).cloned()
    }

    /// The server that a path of a resource or of a version leads to.
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Remote>> {
        let mut steps = path.strip_prefix("/apis/")?.split('/');
        let key = (steps.next()?.to_owned(), steps.next()?.to_owned());
        self.remotes.now().all.get(&key).cloned()
    }
}

impl Made for Remotes {
    const PREFIX: &'static str = "/registry/apiregistration.k8s.io/apiservices/";

    fn make(&self, state: &Snapshot) -> Self {
        let known = |revision, key: &(String, String)| {
            let same = |known: &&Arc<Remote>| known.there().is_some_and(|there| there.revision == revision);
            self.all.get(key).filter(same)
        };
        let remotes = state.range(Self::PREFIX, None).filter_map(|entry| {
            let object = codec::decode(&entry.key, &entry.value).ok()?;
            let service = object.field("spec.service")?;
            let key = (object.text("spec.group").to_owned(), object.text("spec.version").to_owned());
            let known = known(entry.mod_revision, &key).cloned();
            let remote =
                known.unwrap_or_else(|| Arc::new(Remote::elsewhere(&object, service, entry.mod_revision)));
            Some((key, remote))
        });
        let mut all: BTreeMap<_, _> = remotes.collect();
        for hosted in &self.hosted {
            let key = (hosted.group.clone(), hosted.version.clone());
            all.entry(key).or_insert_with(|| Arc::clone(hosted));
        }
        Self { hosted: self.hosted.clone(), all }
    }
}

impl Remotes {
    /// The server of a version.
    pub(crate) fn get(&self, group: &str, version: &str) -> Option<&Arc<Remote>> {
        self.all.get(&(group.to_owned(), version.to_owned()))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, those that come first first.
    fn by_priority(&self) -> Vec<&Arc<Remote>> {
        let mut all: Vec<_> = self.all.values().collect();
        all.sort_by_key(|remote| (Reverse(remote.priorities), &remote.name));
        all
    }

    /// All of them, by group and version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.all.values()
    }
}
