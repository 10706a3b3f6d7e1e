//! What requests do: one file per verb, the same for every kind.
//!
//! Reads answer stored bytes. Writes decode once, let the kind's rules and admission speak, and commit with the
//! preconditions that make the answer true whatever others do meanwhile.

pub(crate) mod apply;
pub(crate) mod bind;
pub(crate) mod components;
pub(crate) mod continuation;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delete_collection;
pub(crate) mod delete_options;
pub(crate) mod evict;
pub(crate) mod get;
pub(crate) mod incoming;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod owners;
pub(crate) mod patch;
pub(crate) mod pod_parts;
pub(crate) mod review;
pub(crate) mod scale;
pub(crate) mod select;
pub(crate) mod shared;
pub(crate) mod show;
pub(crate) mod streams;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod watch;

use std::borrow::Cow;

use wherry_api::kinds::Kind;
use wherry_schema::{Format, Schema, Schemas, Value};
use wherry_store::{Durability, Op, Precondition, Revision, Txn, TxnError};

use crate::auth::UserInfo;
use crate::codec::{self, Encoded};
use crate::custom::Served;
use crate::error::Failure;
use crate::kinds::{Rules, rules, stored_kind};
use crate::notes::Notes;
use crate::request::path::Target;
use crate::state::State;

/// As whom the cluster's own controllers ask.
const CONTROLLERS: &str = "system:kube-controller-manager";

/// The resource a request is about, with all that goes with it.
#[derive(Clone, Copy)]
pub(crate) struct Cx<'a> {
    /// What all requests share.
    pub(crate) state: &'a State,
    /// The kind as the client names it.
    pub(crate) kind: &'static Kind,
    /// The kind as it is stored.
    pub(crate) stored: &'static Kind,
    /// The rules of the kind.
    pub(crate) rules: &'a dyn Rules,
    /// The version of the definition that serves the kind, if it is a custom one.
    pub(crate) custom: Option<&'a Served>,
    /// The namespace, empty for cluster-scoped kinds and for all namespaces.
    pub(crate) namespace: &'a str,
    /// Who asks, where a person or a program does.
    pub(crate) user: Option<&'a UserInfo>,
    /// Where those who look at the request say something about it; none for what the server does by itself, which
    /// only the server looks at.
    pub(crate) notes: Option<&'a Notes>,
    /// Whether the object was written with spaces, where its kind remembers that.
    pub(crate) loose: bool,
}

impl<'a> Cx<'a> {
    /// The context of requests about a kind in a namespace.
    pub(crate) fn new(state: &'a State, kind: &'static Kind, namespace: &'a str) -> Self {
        Self {
            state,
            kind,
            stored: stored_kind(kind),
            rules: rules(kind),
            custom: None,
            namespace,
            user: None,
            notes: None,
            loose: false,
        }
    }

    /// The context of requests about a custom kind in a namespace. Inside a request, its objects are in the version asked
    /// for; they become those of the version to store on their way to the store.
    pub(crate) fn custom(state: &'a State, served: &'a Served, namespace: &'a str) -> Self {
        let kind = served.version().kind;
        let (rules, custom) = (served.rules(), Some(served));
        Self { state, kind, stored: kind, rules, custom, namespace, user: None, notes: None, loose: false }
    }

    /// The context of requests about what a path leads to.
    pub(crate) fn of(state: &'a State, target: &'a Target) -> Self {
        let namespace = target.namespace.as_deref().unwrap_or_default();
        match &target.custom {
            Some(served) => Self::custom(state, served, namespace),
            None => Self::new(state, target.kind, namespace),
        }
    }

    /// Whether the kind is this one and built in.
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.kind.kind == kind && self.kind.group == group
    }

    /// This context, of a request by somebody.
    pub(crate) fn asked_by(self, user: &'a UserInfo, notes: &'a Notes) -> Self {
        Self { user: Some(user), notes: Some(notes), ..self }
    }

    /// This context, of what follows from a request that was looked at before.
    pub(crate) fn looked_at(self) -> Self {
        Self { notes: None, ..self }
    }

    /// This context, of a request that sends an object.
    pub(crate) fn sent(self, body: &[u8], format: Format) -> Self {
        Self { loose: format == Format::Json && self.rules.is_loose(body), ..self }
    }

    /// This context, of a request that changes no more of a stored object than its metadata.
    pub(crate) fn rewriting(self, stored: &[u8]) -> Self {
        Self { loose: codec::is_loose(stored), ..self }
    }

    /// The storage key of an object.
    pub(crate) fn key(&self, name: &str) -> String {
        codec::key(self.stored, self.namespace, name)
    }

    /// The prefix of the collection's keys.
    pub(crate) fn prefix(&self) -> String {
        codec::prefix(self.stored, (!self.namespace.is_empty()).then_some(self.namespace))
    }

    /// Whether objects look different to clients than in the store.
    pub(crate) fn converts(&self) -> bool {
        !std::ptr::eq(self.kind, self.stored)
    }

    /// A stored object as clients of this kind see it.
    pub(crate) fn to_served(self, mut object: Value) -> Value {
        if let Some(conversion) = self.rules.conversion() {
            conversion.to_served(&mut object);
        }
        object
    }

    /// A stored object as clients of the version see it, without a copy where both are one.
    pub(crate) fn as_served(self, object: &Value) -> Cow<'_, Value> {
        if self.converts() { Cow::Owned(self.to_served(object.clone())) } else { Cow::Borrowed(object) }
    }

    /// A client's object as it is stored.
    pub(crate) fn to_stored(self, mut object: Value) -> Value {
        if let Some(conversion) = self.rules.conversion() {
            conversion.to_stored(&mut object);
        }
        object
    }

    /// Fills in the defaults of what the rules of the kind have changed.
    pub(crate) fn complete(&self, object: &mut Value) {
        if let Some(served) = self.custom {
            return served.version().structural.complete(object);
        }
        let Kind { group, version, kind, .. } = *self.stored;
        wherry_schema::defaults::apply((group, version, kind), object);
    }

    /// The schema of the kind.
    pub(crate) fn schema(&self) -> Result<&'a Schema, Failure> {
        match self.custom {
            Some(served) => Ok(&served.version().schema),
            None => schema(self.kind.group, self.kind.version, self.kind.kind),
        }
    }

    /// Makes an object in its stored form what it will be once it has been stored.
    pub(crate) fn settle(&self, object: &mut Value) -> Result<(), Failure> {
        if self.custom.is_some() {
            return Ok(());
        }
        let schema = schema(self.stored.group, self.stored.version, self.stored.kind)?;
        wherry_schema::defaults::settle(object, schema);
        Ok(())
    }

    /// A stored object in the form that requests handle.
    pub(crate) async fn load(&self, key: &str, stored: &[u8]) -> Result<Value, Failure> {
        match self.custom {
            Some(served) => served.load(self.state, key, stored).await,
            None => codec::decode(key, stored),
        }
    }

    /// Whether what was settled from an object's other versions is to be settled again, because they are known only now.
    pub(crate) async fn knows_more(&self) -> bool {
        match self.custom {
            Some(served) => served.ask_for_siblings(self.state).await,
            None => false,
        }
    }

    /// That there is no object of this name.
    pub(crate) fn not_found(&self, name: &str) -> Failure {
        Failure::NotFound { kind: self.kind, name: name.to_owned() }
    }

    /// The object encoded for the store.
    pub(crate) async fn encode(&self, object: &Value) -> Result<Encoded, Failure> {
        if let Some(served) = self.custom {
            return served.encode(self.state, object).await;
        }
        Ok(self.encode_built_in(object))
    }

    /// The same, of an object that is of no custom kind.
    pub(crate) fn encode_built_in(&self, object: &Value) -> Encoded {
        let encoded = codec::encode(self.stored.kind, &self.stored.api_version(), object);
        if self.loose { encoded.loose() } else { encoded }
    }

    /// Writes an object under these preconditions.
    pub(crate) async fn put(
        &self,
        key: &str,
        encoded: &Encoded,
        preconditions: Vec<Precondition>,
    ) -> Result<Revision, TxnError> {
        self.state.store.txn(self.put_txn(key, encoded, preconditions)).await
    }

    /// The transaction that writes an object under these preconditions.
    pub(crate) fn put_txn(&self, key: &str, encoded: &Encoded, preconditions: Vec<Precondition>) -> Txn {
        let op = Op::Put {
            key: key.to_owned(),
            value: encoded.bytes.clone(),
            revision_at: Some(encoded.revision_at),
        };
        Txn { preconditions, ops: vec![op], durability: self.durability() }
    }

    /// When what is written is acknowledged. What controllers derive of other objects waits for no disk: those objects are on it, and
    /// after a crash it is derived of them again.
    fn durability(&self) -> Durability {
        let by_controllers = self.user.is_some_and(|user| user.name == CONTROLLERS);
        if by_controllers && self.rules.is_derived() { Durability::Lazy } else { self.rules.durability() }
    }

    /// Removes an object last written at a revision, and does what belongs to it.
    pub(crate) async fn remove(
        &self,
        key: &str,
        revision: Revision,
        beside: Beside,
    ) -> Result<Revision, TxnError> {
        let Beside { mut preconditions, mut ops } = beside;
        preconditions.push(Precondition::ModRevision { key: key.to_owned(), revision });
        ops.push(Op::Delete { key: key.to_owned() });
        self.state.store.txn(Txn { preconditions, ops, durability: self.durability() }).await
    }
}

/// What one transaction does besides writing an object.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// What must hold.
    pub(crate) preconditions: Vec<Precondition>,
    /// What else is written.
    pub(crate) ops: Vec<Op>,
}

/// The schema of a kind that has one.
pub(crate) fn schema(group: &str, version: &str, kind: &str) -> Result<&'static Schema, Failure> {
    let found = Schemas::builtin().kind(group, version, kind);
    found.ok_or_else(|| Failure::Internal(format!("there is no schema of {group}/{version} {kind}")))
}

/// How often a write is tried again when others are faster, before giving up.
pub(crate) const ATTEMPTS: usize = 100;
