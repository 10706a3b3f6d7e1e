//! Update: a change of the stored object, whole or in part, with optimistic concurrency.
//!
//! Flow: read, let the caller say the new object, keep what may not change, validate, write if the object is still
//! the one read; otherwise begin again. A resourceVersion in the new object is a precondition.
//!
//! Guarantees: an update that changes nothing writes nothing and keeps the resourceVersion; the last finalizer of an
//! object being deleted takes the object with it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use wherry_schema::Value;
use wherry_store::{Entry, Precondition, TxnError};

use super::{ATTEMPTS, Cx, incoming, owners, pod_parts, scale};
use crate::admission::dynamic::{self, By, Operation, Write};
use crate::admission::{self, quota};
use crate::allocate::{self, addresses};
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::query::WriteOptions;
use crate::validation::{Errors, Path, meta, pod};

/// How often owners are settled before they depend on nothing that is still to be known: each round can name versions
/// of what the round before made.
const ROUNDS: usize = 16;

/// Which part of an object an update changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the status.
    Whole,
    /// The status, and metadata.
    Status,
    /// Whether a request for a certificate is granted, and metadata.
    Approval,
    /// The finalizers in a Namespace's spec.
    Finalize,
    /// The number of replicas.
    Scale,
    /// The containers added to a Pod that runs.
    Ephemeral,
    /// What the containers of a Pod that runs may use.
    Resize,
    /// The node a Pod runs on, which is no new generation of it.
    Binding,
}

impl Part {
    /// What a client should know about an object it writes so.
    pub(crate) fn warnings(self, cx: &Cx<'_>, object: &Value) -> Vec<String> {
        if self != Self::Whole {
            return Vec::new();
        }
        let mut warnings = cx.rules.update_warnings(object);
        warnings.extend(admission::warnings(cx, object));
        warnings
    }

    /// The subresource that managed fields are recorded for.
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Status => "status",
            Self::Approval => "approval",
            Self::Finalize => "finalize",
            Self::Scale => "scale",
            Self::Ephemeral => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Binding => "binding",
        }
    }
}

/// What an object is to become.
pub(crate) enum Wanted {
    /// This object, sent by the client, whose uid is a precondition. The writer owns what it changes.
    Put(Value),
    /// What came of a patch. The writer owns what it changes.
    Patched(Value),
    /// This object, with owners as they shall be.
    Owned(Value),
}

/// Says the new object, given the old one; both as clients see them.
pub(crate) type Change<'c> = &'c mut (dyn FnMut(&Value) -> Result<Wanted, Failure> + Send);

/// Changes an object and answers it as stored.
pub(crate) async fn update(
    cx: &Cx<'_>,
    name: &str,
    part: Part,
    options: &WriteOptions,
    change: Change<'_>,
) -> Result<Bytes, Failure> {
    let key = cx.key(name);
    for _ in 0..ATTEMPTS {
        let entry = cx.state.store.get(&key).ok_or_else(|| cx.not_found(name))?;
        let old = cx.load(&key, &entry.value).await?;
        let live = cx.as_served(&old);
        let update = Update { cx, name, part, options, entry: &entry, old: &old };
        let object = cx.to_stored(update.settled(&live, change).await?);
        if let Some(bytes) = update.apply(object).await? {
            return Ok(bytes);
        }
    }
    Err(Failure::modified(cx.kind, name))
}

/// One try.
struct Update<'a> {
    cx: &'a Cx<'a>,
    name: &'a str,
    part: Part,
    options: &'a WriteOptions,
    entry: &'a Arc<Entry>,
    old: &'a Value,
}

impl Update<'_> {
    /// The object to be, once all is known that its owners depend on.
    async fn settled(&self, live: &Value, change: Change<'_>) -> Result<Value, Failure> {
        for _ in 0..ROUNDS {
            let settled = change(live).and_then(|wanted| self.wanted(live, wanted));
            if !self.cx.knows_more().await {
                return settled;
            }
        }
        Err(Failure::modified(self.cx.kind, self.name))
    }

    /// The object to be, with its owners settled.
    fn wanted(&self, live: &Value, wanted: Wanted) -> Result<Value, Failure> {
        let mut object = match wanted {
            Wanted::Owned(object) => return Ok(object),
            Wanted::Put(object) => {
                self.check_uid(&object)?;
                object
            }
            Wanted::Patched(object) => object,
        };
        owners::updated(self.cx, self.part, (live, &mut object), &self.options.manager)?;
        Ok(object)
    }

    /// Writes the object; none if it was changed by another meanwhile.
    async fn apply(&self, mut object: Value) -> Result<Option<Bytes>, Failure> {
        let cx = self.cx;
        self.check_identity(&mut object)?;
        self.mutate(&mut object).await?;
        self.check_versions(&object)?;
        object.assign("metadata.resourceVersion", self.old.field("metadata.resourceVersion").cloned());
        self.keep(&mut object);
        admission::keep(cx, &mut object, self.old);
        let given = if cx.kind.storage == "services" && self.part == Part::Whole {
            allocate::give(cx, (&self.entry.key, Some(self.old)), &mut object, self.options.dry_run).await?
        } else {
            allocate::Given::default()
        };
        self.check(&object)?;
        if matches!(self.part, Part::Whole | Part::Ephemeral) {
            admission::validate(cx, &object, Some(self.old))?;
        }
        if cx.is("certificates.k8s.io", "CertificateSigningRequest") {
            admission::signers::check_decision(cx, self.part, &object, self.old)?;
        }
        if cx.is("certificates.k8s.io", "PodCertificateRequest") {
            admission::signers::check_issue(cx, self.part, &object, self.old)?;
        }
        if let Some((hooks, by)) = self.concerned() {
            hooks.validate(&self.write(by, Cow::Borrowed(&object))).await?;
        }
        cx.settle(&mut object)?;
        if is_finished(&object) {
            return self.finish(&object).await;
        }
        if owners::same_but_times(&object, self.old) && !self.is_outdated().await? {
            return Ok(Some(self.entry.value.clone()));
        }
        let change = quota::Change { object: &object, old: Some(self.old) };
        let counts = quota::concerns(cx, self.part);
        let encoded = cx.encode(&object).await?;
        if self.options.dry_run {
            if counts {
                quota::check(cx, change)?;
            }
            return Ok(Some(encoded.at(self.entry.mod_revision)));
        }
        let unchanged =
            Precondition::ModRevision { key: self.entry.key.to_string(), revision: self.entry.mod_revision };
        let written = if counts {
            let mut beside = given.beside(cx, Some(self.old), &object)?;
            beside.preconditions.push(unchanged);
            quota::put(cx, change, &self.entry.key, &encoded, beside).await?
        } else {
            cx.put(&self.entry.key, &encoded, vec![unchanged]).await
        };
        match written {
            Ok(revision) => Ok(Some(encoded.at(revision))),
            Err(TxnError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what is stored was written in another version or by another schema than it would be now, so that writing
    /// the same once more changes it.
    async fn is_outdated(&self) -> Result<bool, Failure> {
        match self.cx.custom {
            Some(served) => Ok(!served.is_stored_as(self.cx.state, &self.entry.value, self.old).await?),
            None => Ok(false),
        }
    }

    /// Who is asked about the update. A binding is one already.
    fn concerned(&self) -> Option<(Arc<dynamic::Hooks>, By<'_>)> {
        dynamic::concerned(self.cx).filter(|_| self.part != Part::Binding)
    }

    /// The update to an object in its stored form, as those see it who are asked about it.
    fn write<'w>(&'w self, by: By<'w>, object: Cow<'w, Value>) -> Write<'w> {
        let seen = |object: Cow<'w, Value>| match self.part {
            Part::Scale => Cow::Owned(scale::of(self.cx, &object)),
            _ if self.cx.converts() => Cow::Owned(self.cx.to_served(object.into_owned())),
            _ => object,
        };
        let options = dynamic::of_write(Operation::Update, self.options);
        Write::of(self.cx, by, Operation::Update, self.part.subresource())
            .named(self.name)
            .with_options(options, self.options.dry_run)
            .to(seen(object))
            .from(seen(Cow::Borrowed(self.old)))
    }

    /// Lets those change the object who are configured to.
    async fn mutate(&self, object: &mut Value) -> Result<(), Failure> {
        if self.part != Part::Binding {
            admission::node_restriction::update(self.cx, self.part, object, self.old)?;
        }
        let Some((hooks, by)) = self.concerned() else { return Ok(()) };
        let whole = (self.part == Part::Scale).then(|| object.clone());
        let mut write = self.write(by, Cow::Owned(std::mem::take(object)));
        hooks.mutate(&mut write, &mut |_| Ok(())).await?;
        let seen = write.object.map(Cow::into_owned).unwrap_or_default();
        *object = match whole {
            Some(mut whole) => {
                whole.put(scale::place(self.cx), seen.int("spec.replicas").unwrap_or(0));
                whole
            }
            None => self.cx.to_stored(seen),
        };
        Ok(())
    }

    /// Removes an object that was only waiting for its finalizers.
    async fn finish(&self, object: &Value) -> Result<Option<Bytes>, Failure> {
        let answer = self.cx.encode(object).await?.at(self.entry.mod_revision);
        if self.options.dry_run {
            return Ok(Some(answer));
        }
        let beside = addresses::beside(self.cx, Some(self.old), None)?;
        match self.cx.remove(&self.entry.key, self.entry.mod_revision, beside).await {
            Ok(_) => Ok(Some(answer)),
            Err(TxnError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The object must be the one the URL names.
    fn check_identity(&self, object: &mut Value) -> Result<(), Failure> {
        incoming::check_name(object, self.name)?;
        incoming::settle_namespace(self.cx, object)
    }

    /// The object must be the incarnation that the client saw.
    fn check_uid(&self, object: &Value) -> Result<(), Failure> {
        let (uid, old_uid) = (object.text("metadata.uid"), self.old.text("metadata.uid"));
        if !uid.is_empty() && uid != old_uid {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: \
                 Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}",
                self.entry.key
            );
            return Err(Failure::conflict(self.cx.kind, self.name, why));
        }
        Ok(())
    }

    /// The object must be the version that the client saw.
    fn check_versions(&self, object: &Value) -> Result<(), Failure> {
        let (kind, name) = (self.cx.kind, self.name);
        match object.text("metadata.resourceVersion") {
            "" | "0" if self.cx.rules.unconditional_update() => Ok(()),
            "" | "0" => {
                let mut errors = Errors::default();
                let path = Path::new("metadata.resourceVersion");
                errors.invalid(&path, 0, "must be specified for an update");
                Err(Failure::invalid_named(kind.group, kind.plural, name, errors))
            }
            version if version == self.old.text("metadata.resourceVersion") => Ok(()),
            version if version.parse::<u64>().is_err() => {
                let mut errors = Errors::default();
                let path = Path::new("metadata.resourceVersion");
                errors.invalid(
                    &path,
                    version,
                    &format!("strconv.ParseUint: parsing {version:?}: invalid syntax"),
                );
                Err(Failure::invalid(kind, name, errors))
            }
            _ => Err(Failure::modified(kind, name)),
        }
    }

    /// Keeps what this kind of update may not change, and counts generations.
    fn keep(&self, object: &mut Value) {
        let (cx, old) = (self.cx, self.old);
        object.put("kind", cx.stored.kind);
        object.put("apiVersion", cx.stored.api_version());
        match self.part {
            Part::Whole => {
                if cx.kind.subresource("status").is_some() {
                    object.assign("status", old.field("status").cloned());
                }
                cx.rules.prepare_update(object, old);
            }
            Part::Status => {
                keep_all_but_status(object, old);
                cx.rules.prepare_status(object, old);
            }
            Part::Approval => {
                keep_all_but_status(object, old);
                cx.rules.prepare_approval(object, old);
            }
            Part::Finalize => {
                let finalizers = object.field("spec.finalizers").cloned();
                let metadata = object.field("metadata").cloned();
                *object = old.clone();
                object.assign("metadata", metadata);
                let empty = finalizers.as_ref().and_then(Value::as_array).is_none_or(Vec::is_empty);
                object.assign("spec.finalizers", finalizers.filter(|_| !empty));
            }
            Part::Ephemeral | Part::Resize => pod_parts::keep(self.part, object, old),
            Part::Scale | Part::Binding => {}
        }
        cx.rules.stamp(object, Some(old), &cx.state.timestamp());
        cx.complete(object);
        keep_metadata(object, old);
        object.assign("metadata.generation", old.field("metadata.generation").cloned());
        if self.part != Part::Binding && cx.rules.is_new_generation(object, old) {
            object::bump_generation(object);
        }
    }

    fn check(&self, object: &Value) -> Result<(), Failure> {
        let mut errors = Errors::default();
        let (rules, old) = (self.cx.rules, self.old);
        // Every update is checked so, and most kinds check it once more.
        meta::check_update(object, old, &mut errors);
        match self.part {
            Part::Whole | Part::Scale => {
                rules.check_update(object, old, &mut errors);
                if codec::is_loose(&self.entry.value) != self.cx.loose {
                    rules.check_looseness(object, old, &mut errors);
                }
            }
            Part::Status => {
                meta::check_update(object, old, &mut errors);
                rules.validate_status(object, old, &mut errors);
            }
            Part::Approval => {
                meta::check_update(object, old, &mut errors);
                rules.validate_approval(object, old, &mut errors);
            }
            Part::Finalize => {
                meta::check_update(object, old, &mut errors);
                rules.validate(object, &mut errors);
            }
            Part::Ephemeral => pod::check_ephemeral_update(object, old, &mut errors),
            Part::Resize => pod::check_resize(object, old, &mut errors),
            Part::Binding => {}
        }
        if errors.is_empty() { Ok(()) } else { Err(Failure::invalid(self.cx.kind, self.name, errors)) }
    }
}

fn keep_all_but_status(object: &mut Value, old: &Value) {
    let status = object.take("status");
    let metadata = object.take("metadata");
    *object = old.clone();
    object.assign("status", status);
    object.assign("metadata", metadata);
}

/// What no client changes: identity, birth, and that deletion has begun.
fn keep_metadata(object: &mut Value, old: &Value) {
    object.take("metadata.selfLink");
    for field in ["uid", "creationTimestamp", "deletionGracePeriodSeconds"] {
        let path = format!("metadata.{field}");
        if !object.has(&path) || field == "creationTimestamp" {
            object.assign(&path, old.field(&path).cloned());
        }
    }
    if object::terminating(old) {
        object.assign("metadata.deletionTimestamp", old.field("metadata.deletionTimestamp").cloned());
    }
    // Empty maps and lists say the same as none, and none is what is compared.
    for field in ["labels", "annotations"] {
        let path = format!("metadata.{field}");
        if object.map(&path).is_some_and(wherry_schema::Object::is_empty) {
            object.take(&path);
        }
    }
    for path in ["metadata.finalizers", "metadata.ownerReferences"] {
        if object.items(path).is_empty() {
            object.take(path);
        }
    }
}

/// Whether an object being deleted has nothing left to wait for.
pub(crate) fn is_finished(object: &Value) -> bool {
    object::terminating(object)
        && object.items("metadata.finalizers").is_empty()
        && object.int("metadata.deletionGracePeriodSeconds").unwrap_or(0) == 0
        && (object.text("kind") != "Namespace"
            || object.text("apiVersion") != "v1"
            || object.items("spec.finalizers").is_empty())
}
