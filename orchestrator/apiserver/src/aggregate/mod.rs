//! Aggregation: versions of groups that other servers serve, as APIServices say.
//!
//! ```text
//! a request to /apis/G/V that leads nowhere here -> the APIService V.G -> forward: to the Service it names, with the
//!   caller's name and groups in headers that the other server believes from this one's certificate
//! ```
//!
//! Reading order: `forward` (a request passed on), `ask` (what this server asks for itself), `availability` (whether
//! another server works), `discover` and `documents` (what discovery and OpenAPI tell of what others serve).
//!
//! # Guarantees
//! What this server serves itself is never passed on, whatever an APIService says. The caller's credentials stay here.

mod ask;
pub(crate) mod availability;
pub(crate) mod discover;
pub(crate) mod documents;
pub(crate) mod forward;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::TlsConnector;
use wherry_schema::Value;
use wherry_store::{Revision, Snapshot, Store};

use crate::codec;
use crate::config::NodeClientTls;
use crate::follow::{Follower, Made};
use crate::object::{self, Fields};
use crate::outbound::place::Place;
use crate::outbound::tls;
use crate::state::State;
use documents::Documents;

/// What this server showed itself with, and how it connects so.
type Connector = (Arc<NodeClientTls>, Result<TlsConnector, String>);

/// What other servers serve, as of now.
pub(crate) struct Aggregated {
    remotes: Follower<Remotes>,
    /// The resources of a version as the server of it told them last, by the name of the APIService.
    told: Mutex<HashMap<String, Arc<Value>>>,
    /// What OpenAPI tells of them.
    pub(crate) documents: Documents,
}

/// All versions that other servers serve, by group and version.
#[derive(Default)]
pub(crate) struct Remotes(BTreeMap<(String, String), Arc<Remote>>);

/// A version of a group that another server serves.
pub(crate) struct Remote {
    revision: Revision,
    /// The name of its APIService.
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Among the groups, and among the versions of its group, the highest comes first.
    priorities: (i64, i64),
    place: Place,
    service: (String, String, u16),
    available: bool,
    bundle: String,
    insecure: bool,
    tls: Mutex<Option<Connector>>,
}

impl Aggregated {
    pub(crate) fn new(store: &Store) -> Self {
        Self {
            remotes: Follower::new(store, &Remotes::default()),
            told: Mutex::default(),
            documents: Documents::default(),
        }
    }

    /// All of them.
    pub(crate) fn remotes(&self) -> Arc<Remotes> {
        self.remotes.now()
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
        self.remotes.now().0.get(&key).cloned()
    }
}

impl Made for Remotes {
    const PREFIX: &'static str = "/registry/apiregistration.k8s.io/apiservices/";

    fn make(&self, state: &Snapshot) -> Self {
        let known =
            |revision, key: &(String, String)| self.0.get(key).filter(|known| known.revision == revision);
        let remotes = state.range(Self::PREFIX, None).filter_map(|entry| {
            let object = codec::decode(&entry.key, &entry.value).ok()?;
            let service = object.field("spec.service")?;
            let key = (object.text("spec.group").to_owned(), object.text("spec.version").to_owned());
            let known = known(entry.mod_revision, &key).cloned();
            let remote = known.unwrap_or_else(|| Arc::new(Remote::new(&object, service, entry.mod_revision)));
            Some((key, remote))
        });
        Self(remotes.collect())
    }
}

impl Remotes {
    /// The server of a version.
    pub(crate) fn get(&self, group: &str, version: &str) -> Option<&Arc<Remote>> {
        self.0.get(&(group.to_owned(), version.to_owned()))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, those that come first first.
    fn by_priority(&self) -> Vec<&Arc<Remote>> {
        let mut all: Vec<_> = self.0.values().collect();
        all.sort_by_key(|remote| (Reverse(remote.priorities), &remote.name));
        all
    }

    /// All of them, by group and version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.0.values()
    }
}

impl Remote {
    fn new(object: &Value, service: &Value, revision: Revision) -> Self {
        let text = |path: &str| object.text(path).to_owned();
        let port = service.int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let conditions = object.items("status.conditions").iter();
        let mut available = conditions.filter(|condition| condition.text("type") == "Available");
        Self {
            revision,
            name: object::name(object).to_owned(),
            group: text("spec.group"),
            version: text("spec.version"),
            priorities: (
                object.int("spec.groupPriorityMinimum").unwrap_or(0),
                object.int("spec.versionPriority").unwrap_or(0),
            ),
            place: Place::of_service(service),
            service: (service.text("namespace").to_owned(), service.text("name").to_owned(), port),
            available: available.any(|condition| condition.text("status") == "True"),
            bundle: text("spec.caBundle"),
            insecure: object.flag("spec.insecureSkipTLSVerify"),
            tls: Mutex::new(None),
        }
    }

    fn tls(&self, state: &State) -> Result<TlsConnector, String> {
        let identity = state.identity.as_ref().ok_or("this server has no certificate to show to others")?;
        let identity = identity.get();
        let mut made = self.tls.lock();
        if let Some((_, connector)) = made.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &identity)) {
            return connector.clone();
        }
        let connector = tls::connector_as(&identity, &self.bundle, self.insecure);
        *made = Some((identity, connector.clone()));
        connector
    }
}
