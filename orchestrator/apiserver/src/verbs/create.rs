//! Create: a new object, or a refusal that changes nothing.

use std::borrow::Cow;

use bytes::Bytes;
use wherry_schema::Value;
use wherry_store::{Precondition, TxnError};

use super::{ATTEMPTS, Cx, incoming, owners};
use crate::admission::dynamic::{self, By, Operation, Write};
use crate::admission::{self, quota};
use crate::allocate;
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::query::WriteOptions;
use crate::validation::{Errors, meta};

/// The kind whose objects are given addresses and ports.
const SERVICES: &str = "services";
/// Fields of metadata that only the server sets.
const SERVER_FIELDS: &[&str] = &[
    "metadata.selfLink",
    "metadata.deletionTimestamp",
    "metadata.deletionGracePeriodSeconds",
    "metadata.generation",
];

/// Creates an object, which is as the client sees it, and answers it as stored. The writer owns what it says.
pub(crate) async fn create(cx: &Cx<'_>, mut object: Value, options: &WriteOptions) -> Result<Bytes, Failure> {
    owners::created(cx, &mut object, &options.manager)?;
    store(cx, cx.to_stored(object), options).await
}

/// Creates an object whose owners are settled. It is in its stored form.
pub(crate) async fn store(cx: &Cx<'_>, mut object: Value, options: &WriteOptions) -> Result<Bytes, Failure> {
    incoming::settle_namespace(cx, &mut object)?;
    let generated = object::name(&object).is_empty() && !object.text("metadata.generateName").is_empty();
    let version = object.text("metadata.resourceVersion");
    if !version.is_empty() && version != "0" {
        let text = "resourceVersion should not be set on objects to be created";
        return Err(Failure::Unversioned(text.to_owned()));
    }
    admission::service_account::await_default(cx, &object).await;
    let mut alive = live_namespace(cx, &object)?;
    admission::admit(cx, &mut object)?;
    mutate(cx, &mut object, options).await?;
    for _ in 0..ATTEMPTS {
        if generated {
            let name = cx.state.generate_name(object.text("metadata.generateName"));
            object.put("metadata.name", name);
        }
        let namespace = match alive.take() {
            Some(condition) => Some(condition),
            None => live_namespace(cx, &object)?,
        };
        // What a Service was given in one try is nothing that its user asked for; all else a try sets, the next sets anew.
        let asked = (cx.kind.storage == SERVICES).then(|| object.clone());
        match attempt(cx, &mut object, namespace, options).await {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) => {}
            Err(Failure::AlreadyExists { .. }) if generated => {}
            Err(failure) => return Err(failure),
        }
        object = asked.unwrap_or(object);
    }
    Err(Failure::modified(cx.kind, object::name(&object)))
}

/// The condition that the object's namespace stays, if it is in one.
fn live_namespace(cx: &Cx<'_>, object: &Value) -> Result<Option<Precondition>, Failure> {
    cx.kind.namespaced.then(|| admission::live_namespace(cx, object::name(object))).transpose()
}

/// The creation of an object in its stored form, as those see it who are asked about it.
fn write<'a>(cx: &Cx<'a>, by: By<'a>, object: Cow<'a, Value>, options: &WriteOptions) -> Write<'a> {
    let name = object::name(&object).to_owned();
    let write = Write::of(cx, by, Operation::Create, "").named(name);
    let object = if cx.converts() { Cow::Owned(cx.to_served(object.into_owned())) } else { object };
    write.with_options(dynamic::of_write(Operation::Create, options), options.dry_run).to(object)
}

/// Lets those change the object who are configured to.
async fn mutate(cx: &Cx<'_>, object: &mut Value, options: &WriteOptions) -> Result<(), Failure> {
    let Some((hooks, by)) = dynamic::concerned(cx) else { return Ok(()) };
    let mut write = write(cx, by, Cow::Owned(std::mem::take(object)), options);
    hooks.mutate(&mut write, &mut |object| admission::admit(cx, object)).await?;
    *object = cx.to_stored(write.object.map(Cow::into_owned).unwrap_or_default());
    Ok(())
}

/// One try; none if something it relied on changed meanwhile.
async fn attempt(
    cx: &Cx<'_>,
    object: &mut Value,
    namespace: Option<Precondition>,
    options: &WriteOptions,
) -> Result<Option<Bytes>, Failure> {
    prepare(cx, object);
    let key = cx.key(object::name(object));
    let given = match cx.kind.storage {
        SERVICES => allocate::give(cx, (&key, None), object, options.dry_run).await?,
        _ => allocate::Given::default(),
    };
    check(cx, object)?;
    admission::validate(cx, object, None)?;
    if let Some((hooks, by)) = dynamic::concerned(cx) {
        hooks.validate(&write(cx, by, Cow::Borrowed(object), options)).await?;
    }
    cx.settle(object)?;
    let change = quota::Change { object, old: None };
    if options.dry_run {
        quota::check(cx, change)?;
        if let Some(entry) = cx.state.store.get(&key) {
            return Err(already_exists(cx, object::name(object), Some(&entry.value)));
        }
        object.take("metadata.resourceVersion");
        return Ok(Some(codec::encode_loose(cx.stored.kind, &cx.stored.api_version(), object)));
    }
    let mut beside = given.beside(cx, None, object)?;
    // Before all else: where the object is there, that is what the client is told.
    beside.preconditions.insert(0, Precondition::Absent { key: key.clone() });
    beside.preconditions.extend(namespace);
    beside.preconditions.extend(cx.custom.map(|served| served.stays(cx.state)).transpose()?);
    let encoded = cx.encode(object).await?;
    match quota::put(cx, change, &key, &encoded, beside).await? {
        Ok(revision) => Ok(Some(encoded.at(revision))),
        Err(TxnError::Conflict { key: failed, found }) if failed == key => {
            let found = found.as_ref().map(|entry| &entry.value[..]);
            Err(already_exists(cx, object::name(object), found))
        }
        Err(TxnError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn already_exists(cx: &Cx<'_>, name: &str, found: Option<&[u8]>) -> Failure {
    let terminating = found.and_then(|b| Value::from_json(b).ok()).is_some_and(|o| object::terminating(&o));
    Failure::AlreadyExists { kind: cx.kind, name: name.to_owned(), terminating }
}

/// Sets what only the server decides.
pub(crate) fn prepare(cx: &Cx<'_>, object: &mut Value) {
    for field in SERVER_FIELDS {
        object.take(field);
    }
    object.put("metadata.uid", cx.state.new_uid());
    object.put("metadata.creationTimestamp", cx.state.timestamp());
    if cx.rules.counts_generations() {
        object.put("metadata.generation", 1);
    }
    cx.rules.prepare_create(object);
    cx.rules.stamp(object, None, &cx.state.timestamp());
    cx.complete(object);
}

fn check(cx: &Cx<'_>, object: &Value) -> Result<(), Failure> {
    let mut errors = Errors::default();
    meta::check(cx.kind, cx.rules, object, &mut errors);
    cx.rules.check_create(object, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(Failure::invalid(cx.kind, object::name(object), errors)) }
}
