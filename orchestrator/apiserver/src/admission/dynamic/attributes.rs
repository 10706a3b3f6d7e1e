//! What a request wants to change, in the words of those who look at it from outside: policies and webhooks.

use std::borrow::Cow;
use std::sync::OnceLock;

use wherry_api::kinds::Kind;
use wherry_schema::decode::conform;
use wherry_schema::{FieldValidation, Schema, Schemas, Value};

use crate::auth::UserInfo;
use crate::codec;
use crate::custom::Served;
use crate::error::Failure;
use crate::notes::Notes;
use crate::object::{self, Fields};
use crate::state::State;
use crate::verbs::Cx;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// As rules and reviews call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A kind with its group and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GroupKind<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

/// A resource with its group and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GroupResource<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
}

impl GroupResource<'_> {
    /// The resource of a row.
    pub(crate) fn of(row: &'static Kind) -> GroupResource<'static> {
        GroupResource { group: row.group, version: row.version, resource: row.plural }
    }
}

impl GroupKind<'_> {
    /// The kind of a row, or of a part of it.
    pub(crate) fn of(row: &'static Kind, part: &str) -> GroupKind<'static> {
        match row.subresource(part) {
            Some(sub) if !sub.version.is_empty() => {
                GroupKind { group: sub.group, version: sub.version, kind: sub.kind }
            }
            Some(sub) => GroupKind { group: row.group, version: row.version, kind: sub.kind },
            None => GroupKind { group: row.group, version: row.version, kind: row.kind },
        }
    }
}

/// Who wants a change.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) user: &'a UserInfo,
    /// Where to say something about it.
    pub(crate) notes: &'a Notes,
}

/// A change that is wanted. Objects are as the client sees them.
pub(crate) struct Write<'a> {
    pub(crate) state: &'a State,
    /// Who wants it.
    pub(crate) user: &'a UserInfo,
    /// Where to say something about it.
    pub(crate) notes: &'a Notes,
    pub(crate) operation: Operation,
    /// The row of the kinds table that the URL names.
    pub(crate) row: &'static Kind,
    /// The version of the definition that serves it, if it is a custom one.
    pub(super) custom: Option<&'a Served>,
    /// The part of the object, empty for all of it.
    pub(crate) part: &'a str,
    /// The namespace; for a Namespace, its own name.
    pub(crate) namespace: Cow<'a, str>,
    /// The name, empty if it is yet to be made.
    pub(crate) name: Cow<'a, str>,
    /// What the object is to be; none for a deletion.
    pub(crate) object: Option<Cow<'a, Value>>,
    /// What the object is; none for a creation and a connection.
    pub(crate) old: Option<Cow<'a, Value>>,
    /// How it is to be done: `CreateOptions` and so on; null for a connection.
    pub(crate) options: Value,
    pub(crate) dry_run: bool,
    namespace_object: OnceLock<Option<Value>>,
    /// The other rows with the same objects and parts, once somebody has asked for them.
    pub(super) others: OnceLock<Vec<&'static Kind>>,
}

impl<'a> Write<'a> {
    /// A change of a part of something in this context.
    pub(crate) fn of(cx: &Cx<'a>, by: By<'a>, operation: Operation, part: &'a str) -> Self {
        Self {
            state: cx.state,
            user: by.user,
            notes: by.notes,
            operation,
            row: cx.kind,
            custom: cx.custom,
            part,
            namespace: Cow::Borrowed(cx.namespace),
            name: Cow::Borrowed(""),
            object: None,
            old: None,
            options: Value::Null,
            dry_run: false,
            namespace_object: OnceLock::new(),
            others: OnceLock::new(),
        }
    }

    /// This change, of something with this name.
    pub(crate) fn named(self, name: impl Into<Cow<'a, str>>) -> Self {
        let name = name.into();
        let namespace = if self.is_namespace() { name.clone() } else { self.namespace };
        Self { namespace, name, ..self }
    }

    /// This change, done so.
    pub(crate) fn with_options(self, options: Value, dry_run: bool) -> Self {
        Self { options, dry_run, ..self }
    }

    /// This change, to this object.
    pub(crate) fn to(self, object: Cow<'a, Value>) -> Self {
        Self { object: Some(object), ..self }
    }

    /// This change, from this object.
    pub(crate) fn from(self, old: Cow<'a, Value>) -> Self {
        Self { old: Some(old), ..self }
    }

    /// The resource as the URL names it.
    pub(crate) fn resource(&self) -> GroupResource<'static> {
        GroupResource::of(self.row)
    }

    /// The kind of the object.
    pub(crate) fn kind(&self) -> GroupKind<'static> {
        GroupKind::of(self.row, self.part)
    }

    /// Whether the object is a Namespace.
    pub(crate) fn is_namespace(&self) -> bool {
        self.row.kind == "Namespace" && self.row.group.is_empty()
    }

    /// The namespace that the change is in, as it is stored; none outside of all, or if it is gone.
    pub(crate) fn namespace_object(&self) -> Option<&Value> {
        let found = self.namespace_object.get_or_init(|| {
            let row = wherry_api::kinds::by_kind("", "v1", "Namespace")?;
            let key = codec::key(row, "", &self.namespace);
            (!self.namespace.is_empty()).then(|| self.state.find(&key).ok().flatten())?
        });
        found.as_ref()
    }

    /// What the object is made of as one of a row.
    pub(crate) fn schema(&self, row: &'static Kind) -> Result<Made, Failure> {
        let GroupKind { group, version, kind } = GroupKind::of(row, self.part);
        if let Some(schema) = Schemas::builtin().kind(group, version, kind) {
            return Ok(Made::BuiltIn(schema));
        }
        let custom = self.state.custom.definitions().find(row.group, row.version, row.plural);
        custom.map(Made::Custom).ok_or(Failure::NoSuchResource)
    }

    /// Makes the object what one of those who may change it made of it, as an object of `row`. Answers whether it is
    /// another now.
    pub(crate) async fn replace(&mut self, row: &'static Kind, patched: Value) -> Result<bool, Failure> {
        let schema = self.schema(row)?;
        // What a custom kind leaves out is decided by the version that is asked for, not by the one somebody sees.
        let is_seen_only = self.custom.is_some() && !self.looks_alike(self.row, row);
        let mut new = if is_seen_only { patched } else { conformed(&patched, schema.get())? };
        schema.complete(GroupKind::of(row, self.part), &mut new);
        if !self.looks_alike(self.row, row) {
            new = self.converted(&new, (row, self.row)).await.map_err(Failure::Internal)?;
        }
        if is_seen_only {
            new = conformed(&new, self.schema(self.row)?.get())?;
        }
        let changed = self.object.as_deref() != Some(&new);
        self.object = Some(Cow::Owned(new));
        Ok(changed)
    }

    /// That somebody refuses the change.
    pub(crate) fn forbidden(&self, why: &str) -> Failure {
        let object = self.object.as_deref();
        let made = || object.map_or("", |object| object.text("metadata.generateName"));
        let names = [&*self.name, object.map_or("", object::name), made(), "Unknown"];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        Failure::forbidden(self.row, name, why)
    }
}

/// What objects are made of.
pub(crate) enum Made {
    BuiltIn(&'static Schema),
    Custom(Served),
}

impl Made {
    /// The schema.
    pub(crate) fn get(&self) -> &Schema {
        match self {
            Self::BuiltIn(schema) => schema,
            Self::Custom(served) => &served.version().schema,
        }
    }

    /// Fills in the defaults of an object of this kind.
    fn complete(&self, of: GroupKind<'_>, object: &mut Value) {
        match self {
            Self::BuiltIn(_) => wherry_schema::defaults::apply((of.group, of.version, of.kind), object),
            Self::Custom(served) => served.version().structural.complete(object),
        }
    }
}

/// An object without what its schema does not know.
fn conformed(object: &Value, schema: &Schema) -> Result<Value, Failure> {
    let conformed = conform(object, schema, FieldValidation::Ignore);
    conformed.map(|(object, _)| object).map_err(|error| Failure::Internal(error.to_string()))
}
