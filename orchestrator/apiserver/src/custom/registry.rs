//! The definitions that are established, kept current with the store.
//!
//! # Guarantees
//! A definition whose establishment was acknowledged is served to every request that begins later, however it was
//! written. A look-up while nothing changed decodes nothing; what built-in kinds are looked up by never gets here.
//!
//! # Caveats
//! A definition that says something else is another [`Definition`]: requests under way go on with the one they began
//! with, and watches of its objects end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use wherry_api::kinds::{Kind, SwitchedOn};
use wherry_schema::Value;
use wherry_schema::openapi::custom::Published;
use wherry_store::{Entry, Precondition, Revision, Snapshot, Store};

use super::conditions;
use super::definition::{Definition, Served};
use super::publish::Documents;
use crate::codec;
use crate::error::Failure;
use crate::follow::{Follower, Made};
use crate::object::Fields;
use crate::state::State;

/// The prefix of definitions' keys.
pub(super) const PREFIX: &str = "/registry/apiextensions.k8s.io/customresourcedefinitions/";

/// The established definitions at one revision, by name: `widgets.example.com`; and what clients are told of them.
///
/// With them are the built-in resources that are switched on: both are what is served besides the kinds table.
#[derive(Default)]
pub(crate) struct Definitions {
    switched_on: SwitchedOn,
    known: BTreeMap<String, Known>,
    documents: OnceLock<Documents>,
    /// Ends all watches.
    stopping: CancellationToken,
}

/// A definition and what it was read from.
#[derive(Clone)]
struct Known {
    written: Revision,
    /// What the definition says, to find out whether a change of it changes anything here.
    says: Value,
    /// None while it is not established.
    definition: Option<Arc<Definition>>,
}

/// Where definitions are looked up.
pub(crate) struct Registry(Follower<Definitions>);

impl Registry {
    /// The definitions of a store, beside what is switched on; `stopping` ends all watches.
    pub(crate) fn new(store: &Store, switched_on: SwitchedOn, stopping: CancellationToken) -> Self {
        Self(Follower::new(store, &Definitions { switched_on, stopping, ..Definitions::default() }))
    }

    /// The definitions as of now.
    pub(crate) fn definitions(&self) -> Arc<Definitions> {
        self.0.now()
    }
}

impl Made for Definitions {
    const PREFIX: &'static str = PREFIX;

    /// The definitions of a state; those that say the same as here are the same.
    fn make(&self, state: &Snapshot) -> Self {
        let known = state.range(PREFIX, None).filter_map(|entry| {
            let name = entry.key.strip_prefix(PREFIX)?;
            let before = self.known.get(name);
            let known = match before.filter(|before| before.written == entry.mod_revision) {
                Some(same) => same.clone(),
                None => Known::read(entry, before, &self.stopping)?,
            };
            Some((name.to_owned(), known))
        });
        let known: BTreeMap<String, Known> = known.collect();
        for (name, before) in &self.known {
            let Some(definition) = &before.definition else { continue };
            let kept = known.get(name).and_then(|known| known.definition.as_ref());
            if !kept.is_some_and(|kept| Arc::ptr_eq(kept, definition)) {
                definition.retired.cancel();
            }
        }
        let (switched_on, stopping) = (self.switched_on.clone(), self.stopping.clone());
        Self { switched_on, known, documents: OnceLock::new(), stopping }
    }
}

impl Definitions {
    /// What clients are told of them.
    pub(crate) fn documents(&self) -> &Documents {
        self.documents
            .get_or_init(|| Documents::of(&self.switched_on, self.known.values().flat_map(Known::published)))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.switched_on.is_empty() && self.all().next().is_none()
    }

    /// The built-in resources that are switched on.
    pub(crate) fn switched_on(&self) -> impl Iterator<Item = &'static Kind> + Clone + use<'_> {
        self.switched_on.rows()
    }

    /// One of them.
    pub(crate) fn built_in(&self, group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        self.switched_on.by_plural(group, version, plural)
    }

    /// The definition of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Definition>> {
        self.known.get(name)?.definition.as_ref()
    }

    /// A version of a resource.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        self.named(&format!("{plural}.{group}"))?.served(version)
    }

    /// Every version that is served.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Kind> {
        let definitions = self.known.values().filter_map(|known| known.definition.as_ref());
        let custom =
            definitions.flat_map(|definition| definition.versions.iter().map(|version| version.kind));
        self.switched_on().chain(custom)
    }

    /// The definitions.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.known.values().filter_map(|known| known.definition.as_ref())
    }
}

impl Known {
    /// The versions that are served, as clients are told of them.
    fn published(&self) -> impl Iterator<Item = Published> {
        let versions =
            self.definition.iter().flat_map(|found| found.versions.iter().map(move |v| (found, v)));
        versions.map(|(definition, version)| {
            let mut said = self.says.items("spec.versions").iter();
            let said = said.find(|said| said.text("name") == version.kind.version);
            let schema = said.and_then(|said| said.field("schema.openAPIV3Schema"));
            Published::new(version.kind, &definition.list_kind, schema.unwrap_or(&Value::Null))
        })
    }

    fn read(entry: &Entry, before: Option<&Self>, stopping: &CancellationToken) -> Option<Self> {
        let object = codec::decode(&entry.key, &entry.value).ok()?;
        let written = entry.mod_revision;
        let (served, says) = (conditions::is_served(&object), says(&object));
        if let Some(same) = before.filter(|before| before.says == says) {
            if let Some(definition) = &same.definition {
                definition.terminating.store(conditions::holds(&object, "Terminating"), Ordering::Release);
            }
            return Some(Self { written, ..same.clone() });
        }
        let read = || Definition::read(&object, written, stopping.child_token()).map(Arc::new);
        let definition = if served { read() } else { None };
        Some(Self { written, says, definition })
    }
}

impl Served {
    /// The condition that the definition stays as it is now: without it, an object could be made after the last one of a
    /// definition that is to go was deleted.
    pub(crate) fn stays(&self, state: &State) -> Result<Precondition, Failure> {
        let kind = self.version().kind;
        let name = format!("{}.{}", kind.plural, kind.group);
        let key = format!("{PREFIX}{name}");
        // It is read before it is asked whether the definition goes, so that one that goes after that is another.
        let revision = state.store.get(&key).ok_or(Failure::NoSuchPath)?.mod_revision;
        match state.custom.definitions().named(&name) {
            Some(definition) if definition.is_terminating() => {
                Err(Failure::NotWhileTerminating { kind, verb: "create" })
            }
            Some(_) => Ok(Precondition::ModRevision { key, revision }),
            None => Err(Failure::NoSuchPath),
        }
    }
}

/// All that a definition is read from.
fn says(object: &Value) -> Value {
    let mut says = Value::object();
    for field in ["metadata.uid", "spec", "status.acceptedNames"] {
        says.assign(field, object.field(field).cloned());
    }
    says.put("served", conditions::is_served(object));
    says
}
