//! Delete: at once, after a grace period, or after finalizers.
//!
//! ```text
//!            no finalizers                                last finalizer gone, grace 0
//! (live) ------------------------------> (gone)  <--------------------------------- (terminating)
//!    |                                      ^                                            ^
//!    |                                      | grace 0 and no finalizers                  |
//!    +--------------------------------------+-- grace, finalizers or propagation --------+
//! ```
//!
//! Pods end gracefully: even one that may go at once is first marked, so that its watchers see both. What is marked
//! stays as it is, except that a Pod's grace may be made shorter.

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use wherry_schema::Value;
use wherry_store::{Entry, Precondition, Revision, TxnError};

use super::delete_options::{DeleteOptions, Propagation};
use super::{ATTEMPTS, Cx};
use crate::admission::dynamic::{self, Operation, Write};
use crate::admission::node_restriction;
use crate::allocate::addresses;
use crate::codec;
use crate::custom;
use crate::error::Failure;
use crate::kinds::namespace::IMMORTAL;
use crate::kinds::priority_class::SYSTEM;
use crate::object::{self, Fields};
use crate::state::seconds;
use crate::status::{Status, about};

/// What a deletion answers.
pub(crate) enum Deleted {
    /// The object, gone.
    Object(Bytes),
    /// The object, which is still there.
    Marked(Bytes),
    /// That it is gone.
    Status(Vec<u8>),
}

/// What a kind says about the end of an object.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It takes no time.
    Now,
    /// It takes so many seconds from now on, which the object says.
    Grace(i64),
    /// It is under way.
    Pending,
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Deletes an object.
pub(crate) async fn delete(cx: &Cx<'_>, name: &str, options: &DeleteOptions) -> Result<Deleted, Failure> {
    delete_as(cx, name, name, options).await
}

/// Deletes an object, of which those who look at the request see the name that was `asked` for.
pub(super) async fn delete_as(
    cx: &Cx<'_>,
    name: &str,
    asked: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Failure> {
    if cx.is("", "Namespace") && IMMORTAL.contains(&name) {
        return Err(Failure::forbidden(cx.kind, name, "this namespace may not be deleted"));
    }
    if cx.is("scheduling.k8s.io", "PriorityClass") && SYSTEM.iter().any(|(system, _)| *system == name) {
        let why = "this is a system priority class and cannot be deleted";
        return Err(Failure::forbidden(cx.kind, name, why));
    }
    let key = cx.key(name);
    for _ in 0..ATTEMPTS {
        let entry = cx.state.store.get(&key).ok_or_else(|| cx.not_found(name))?;
        if let Some(deleted) = attempt(cx, &entry, asked, options).await? {
            return Ok(deleted);
        }
    }
    Err(Failure::modified(cx.kind, name))
}

/// One try; none if the object was changed by another meanwhile.
async fn attempt(
    cx: &Cx<'_>,
    entry: &Arc<Entry>,
    asked: &str,
    options: &DeleteOptions,
) -> Result<Option<Deleted>, Failure> {
    let cx = &cx.rewriting(&entry.value);
    let old = cx.load(&entry.key, &entry.value).await?;
    options.check(cx, &old)?;
    let mut object = old.clone();
    if cx.is("", "Namespace") {
        if mark_namespace(cx, &mut object, options) {
            ask(cx, &old, asked, options).await?;
            let written = write(cx, entry, (&object, &old), options.dry_run).await?;
            return Ok(written.map(|(bytes, _)| Deleted::Marked(bytes)));
        }
        if !object.items("spec.finalizers").is_empty() {
            return Ok(Some(Deleted::Marked(entry.value.clone())));
        }
    }
    if cx.is("apiextensions.k8s.io", "CustomResourceDefinition") && !object::terminating(&object) {
        object.put("metadata.deletionTimestamp", cx.state.timestamp());
        custom::mark(&mut object, &cx.state.timestamp());
        ask(cx, &old, asked, options).await?;
        let written = write(cx, entry, (&object, &old), options.dry_run).await?;
        return Ok(written.map(|(bytes, _)| Deleted::Marked(bytes)));
    }
    let now = cx.state.clock.now();
    let end = end(cx, &mut object, options, now);
    if end == End::Pending {
        return Ok(Some(Deleted::Marked(entry.value.clone())));
    }
    ask(cx, &old, asked, options).await?;
    settle_finalizers(cx, &mut object, options.propagation);
    let held = !object::finalizers(&object).is_empty();
    match end {
        End::Now if held => mark(&mut object, now),
        End::Now => return remove(cx, (entry, entry.mod_revision), &object, options.dry_run).await,
        End::Grace(_) | End::Pending => {}
    }
    let Some((bytes, revision)) = write(cx, entry, (&object, &old), options.dry_run).await? else {
        return Ok(None);
    };
    if held || matches!(end, End::Grace(1..)) {
        return Ok(Some(Deleted::Marked(bytes)));
    }
    if options.dry_run {
        return Ok(Some(Deleted::Object(bytes)));
    }
    // It was marked; whoever removes it first, it is gone.
    Ok(Some(remove(cx, (entry, revision), &object, false).await?.unwrap_or(Deleted::Object(bytes))))
}

/// Asks those who are configured to look at deletions; they may refuse this one, and have nothing to change.
async fn ask(cx: &Cx<'_>, old: &Value, asked: &str, options: &DeleteOptions) -> Result<(), Failure> {
    node_restriction::delete(cx, old)?;
    let Some((hooks, by)) = dynamic::concerned(cx) else { return Ok(()) };
    let old = cx.as_served(old);
    let mut write = Write::of(cx, by, Operation::Delete, "")
        .named(asked)
        .with_options(dynamic::of_delete(options), options.dry_run)
        .from(old);
    hooks.mutate(&mut write, &mut |_| Ok(())).await?;
    hooks.validate(&write).await
}

/// Writes the object if it changed and answers it; none if it was changed by another meanwhile.
async fn write(
    cx: &Cx<'_>,
    entry: &Arc<Entry>,
    (object, old): (&Value, &Value),
    dry_run: bool,
) -> Result<Option<(Bytes, Revision)>, Failure> {
    if object == old {
        return Ok(Some((entry.value.clone(), entry.mod_revision)));
    }
    let encoded = cx.encode(object).await?;
    if dry_run {
        return Ok(Some((encoded.at(entry.mod_revision), entry.mod_revision)));
    }
    let key = entry.key.to_string();
    let unchanged = Precondition::ModRevision { key, revision: entry.mod_revision };
    match cx.put(&entry.key, &encoded, vec![unchanged]).await {
        Ok(revision) => Ok(Some((encoded.at(revision), revision))),
        Err(TxnError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the object last written at a revision; none if it was changed by another meanwhile.
async fn remove(
    cx: &Cx<'_>,
    (entry, written): (&Arc<Entry>, Revision),
    object: &Value,
    dry_run: bool,
) -> Result<Option<Deleted>, Failure> {
    let revision = if dry_run {
        written
    } else {
        match cx.remove(&entry.key, written, addresses::beside(cx, Some(object), None)?).await {
            Ok(revision) => revision,
            Err(TxnError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    };
    if cx.is("", "Pod") {
        return Ok(Some(Deleted::Object(cx.encode(object).await?.at(revision))));
    }
    if cx.rules.returns_deleted() {
        let last = codec::Cut::of(cx.stored).with_revision(&entry.value, revision);
        return Ok(Some(Deleted::Object(last)));
    }
    let mut details = about(cx.kind.group, cx.kind.plural, object::name(object));
    object.text("metadata.uid").clone_into(&mut details.uid);
    Ok(Some(Deleted::Status(Status::success(Some(details), 0).to_json())))
}

/// How the object is to end, which a Pod is made to say.
fn end(cx: &Cx<'_>, object: &mut Value, options: &DeleteOptions, now: Timestamp) -> End {
    if !cx.is("", "Pod") {
        return End::Now;
    }
    let asked = options.grace_seconds.map(|asked| if asked < 0 { 1 } else { asked });
    if !object::terminating(object) {
        let grace = pod_grace(object, asked);
        if object.int("metadata.generation").is_some_and(|g| g > 0) {
            object::bump_generation(object);
        }
        put_end(object, now, grace);
        return End::Grace(grace);
    }
    let before = match object.int("metadata.deletionGracePeriodSeconds") {
        None | Some(0) => return End::Now,
        Some(before) => {
            if before < 0 {
                1
            } else {
                before
            }
        }
    };
    match asked.filter(|asked| *asked < before) {
        Some(asked) => {
            let planned = object.text("metadata.deletionTimestamp").parse().unwrap_or(now);
            let begun = planned.checked_sub(SignedDuration::from_secs(before)).unwrap_or(now);
            put_end(object, begun, asked);
            End::Grace(asked)
        }
        None => End::Pending,
    }
}

/// How long a Pod may take to go: only one that is on a node and not done takes any time.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let running =
        !pod.text("spec.nodeName").is_empty() && !matches!(pod.text("status.phase"), "Failed" | "Succeeded");
    if !running {
        return 0;
    }
    let own = pod.int("spec.terminationGracePeriodSeconds").unwrap_or(0);
    let grace = asked.unwrap_or(own);
    if grace < 0 { 1 } else { grace }
}

fn put_end(object: &mut Value, begun: Timestamp, grace: i64) {
    let end = begun.checked_add(SignedDuration::from_secs(grace)).unwrap_or(begun);
    object.put("metadata.deletionTimestamp", seconds(end));
    object.put("metadata.deletionGracePeriodSeconds", grace);
}

/// Says in an object that takes no time that it is to go.
fn mark(object: &mut Value, now: Timestamp) {
    let terminating = object::terminating(object);
    if !terminating && object.int("metadata.generation").is_some_and(|g| g > 0) {
        object::bump_generation(object);
    }
    let planned: Option<Timestamp> = object.text("metadata.deletionTimestamp").parse().ok();
    if planned.is_none_or(|planned| planned > now) {
        object.put("metadata.deletionTimestamp", seconds(now));
    }
    object.put("metadata.deletionGracePeriodSeconds", 0);
}

/// Says in a Namespace that it is to go, if it does not say so yet.
fn mark_namespace(cx: &Cx<'_>, object: &mut Value, options: &DeleteOptions) -> bool {
    if object::terminating(object) {
        return false;
    }
    settle_finalizers(cx, object, options.propagation);
    object.put("metadata.deletionTimestamp", seconds(cx.state.clock.now()));
    object.put("status.phase", "Terminating");
    true
}

/// What happens to dependents when nobody says: these kinds leave theirs, as they did in their first version.
fn orphans_by_custom(cx: &Cx<'_>) -> bool {
    matches!((cx.kind.group, cx.kind.kind), ("", "ReplicationController") | ("batch", "Job"))
}

/// What somebody who deletes should know whether it works or not.
pub(crate) fn warning(cx: &Cx<'_>, options: &DeleteOptions) -> Option<&'static str> {
    let surprising = cx.is("batch", "Job") && orphans_by_custom(cx) && options.propagation.is_none();
    surprising.then_some(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or \
         set propagationPolicy=Orphan to suppress this warning",
    )
}

/// Dependents are dealt with by finalizers that the garbage collector removes when it is done. Events have none.
fn settle_finalizers(cx: &Cx<'_>, object: &mut Value, asked: Option<Propagation>) {
    if matches!((cx.stored.group, cx.stored.kind), ("", "Event")) {
        return;
    }
    let present = object::finalizers(object);
    let propagation = asked.or_else(|| {
        let by_finalizer = present.iter().find_map(|finalizer| match *finalizer {
            ORPHAN => Some(Propagation::Orphan),
            FOREGROUND => Some(Propagation::Foreground),
            _ => None,
        });
        by_finalizer.or(orphans_by_custom(cx).then_some(Propagation::Orphan))
    });
    let wanted = match propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) | None => None,
    };
    let others = present.iter().copied().filter(|f| !matches!(*f, ORPHAN | FOREGROUND));
    let finalizers: Vec<String> = others.chain(wanted).map(str::to_owned).collect();
    if finalizers.len() != present.len() || !finalizers.iter().all(|f| present.contains(&f.as_str())) {
        object::set_finalizers(object, &finalizers);
    }
}
