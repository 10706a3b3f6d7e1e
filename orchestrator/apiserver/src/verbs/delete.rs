//! Delete: at once, after a grace period, or after finalizers.
//!
//! ```text
//!            no finalizers, no grace                      last finalizer gone, grace 0
//! (live) ------------------------------> (gone)  <--------------------------------- (terminating)
//!    |                                      ^                                            ^
//!    |                                      | grace 0 and no finalizers                  |
//!    +--------------------------------------+-- grace, finalizers or propagation --------+
//! ```

use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use wherry_schema::Value;
use wherry_store::{Entry, Precondition, TxnError};

use super::delete_options::{DeleteOptions, Propagation};
use super::update::is_finished;
use super::{ATTEMPTS, Cx};
use crate::codec;
use crate::error::Failure;
use crate::kinds::namespace::IMMORTAL;
use crate::object::{self, Fields};
use crate::state::seconds;
use crate::status::{Status, about};

/// What a deletion answers.
pub(crate) enum Deleted {
    /// The object, still there or gone.
    Object(Bytes),
    /// That it is gone.
    Status(Vec<u8>),
}

/// Deletes an object.
pub(crate) async fn delete(cx: &Cx<'_>, name: &str, options: &DeleteOptions) -> Result<Deleted, Failure> {
    if cx.kind.kind == "Namespace" && IMMORTAL.contains(&name) {
        return Err(Failure::forbidden(cx.kind, name, "this namespace may not be deleted"));
    }
    let key = cx.key(name);
    for _ in 0..ATTEMPTS {
        let entry = cx.state.store.get(&key).ok_or_else(|| cx.not_found(name))?;
        if let Some(deleted) = attempt(cx, &entry, options).await? {
            return Ok(deleted);
        }
    }
    Err(Failure::modified(cx.kind, name))
}

/// One try; none if the object was changed by another meanwhile.
pub(crate) async fn attempt(
    cx: &Cx<'_>,
    entry: &Arc<Entry>,
    options: &DeleteOptions,
) -> Result<Option<Deleted>, Failure> {
    let old = codec::decode(&entry.key, &entry.value)?;
    options.check(cx, &old)?;
    let mut object = old.clone();
    let grace = grace_seconds(cx, &old, options);
    mark(cx, &mut object, &old, grace, options);
    if is_finished(&object) {
        return remove(cx, entry, &object, options.dry_run).await;
    }
    if object == old {
        return Ok(Some(Deleted::Object(entry.value.clone())));
    }
    let encoded = cx.encode(&object);
    if options.dry_run {
        return Ok(Some(Deleted::Object(encoded.at(entry.mod_revision))));
    }
    let key = entry.key.to_string();
    let unchanged = Precondition::ModRevision { key, revision: entry.mod_revision };
    match cx.put(&entry.key, &encoded, vec![unchanged]).await {
        Ok(revision) => Ok(Some(Deleted::Object(encoded.at(revision)))),
        Err(TxnError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn remove(
    cx: &Cx<'_>,
    entry: &Arc<Entry>,
    object: &Value,
    dry_run: bool,
) -> Result<Option<Deleted>, Failure> {
    let revision = if dry_run {
        entry.mod_revision
    } else {
        match cx.remove(&entry.key, entry.mod_revision).await {
            Ok(revision) => revision,
            Err(TxnError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    };
    if cx.kind.kind == "Pod" {
        return Ok(Some(Deleted::Object(cx.encode(object).at(revision))));
    }
    if cx.rules.returns_deleted() {
        let last = codec::Cut::of(cx.stored).with_revision(&entry.value, revision);
        return Ok(Some(Deleted::Object(last)));
    }
    let mut details = about(cx.kind.group, cx.kind.plural, object::name(object));
    object.text("metadata.uid").clone_into(&mut details.uid);
    Ok(Some(Deleted::Status(Status::success(Some(details), 0).to_json())))
}

/// How long the object may take to go: only Pods on a node take any time.
fn grace_seconds(cx: &Cx<'_>, object: &Value, options: &DeleteOptions) -> i64 {
    let running = cx.kind.kind == "Pod"
        && !object.text("spec.nodeName").is_empty()
        && !matches!(object.text("status.phase"), "Failed" | "Succeeded");
    if !running {
        return 0;
    }
    let own = object.int("spec.terminationGracePeriodSeconds").unwrap_or(30);
    let asked = options.grace_seconds.unwrap_or(own);
    if asked < 0 { 1 } else { asked }
}

/// Says in the object that it is to go.
fn mark(cx: &Cx<'_>, object: &mut Value, old: &Value, grace: i64, options: &DeleteOptions) {
    finalizers_for(object, options.propagation);
    let already = object::terminating(old);
    let shorter = old.int("metadata.deletionGracePeriodSeconds").is_some_and(|before| grace < before);
    if already && !shorter {
        return;
    }
    if !already && old.has("metadata.generation") {
        object::bump_generation(object);
    }
    let now = cx.state.clock.now();
    let end = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    object.put("metadata.deletionTimestamp", seconds(end));
    if cx.kind.kind == "Namespace" {
        object.put("status.phase", "Terminating");
    } else {
        object.put("metadata.deletionGracePeriodSeconds", grace);
    }
}

/// Dependents are dealt with by finalizers that the garbage collector removes when it is done. Events have none.
fn finalizers_for(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation.filter(|_| object.text("kind") != "Event") else { return };
    let others =
        object::finalizers(object).into_iter().filter(|f| !matches!(*f, "orphan" | "foregroundDeletion"));
    let mut finalizers: Vec<String> = others.map(str::to_owned).collect();
    match propagation {
        Propagation::Orphan => finalizers.push("orphan".to_owned()),
        Propagation::Foreground => finalizers.push("foregroundDeletion".to_owned()),
        Propagation::Background => {}
    }
    object::set_finalizers(object, &finalizers);
}
