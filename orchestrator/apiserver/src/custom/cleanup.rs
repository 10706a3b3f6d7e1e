//! The end of a definition: its objects are deleted first, and the finalizer that waits for them goes last.
//!
//! # Caveats
//! Objects with finalizers of their own stay until somebody removes those, and so does the definition.

use wherry_schema::Value;
use wherry_store::Watch;

use super::conditions::{self, Condition};
use super::controller;
use super::definition::{Definition, Served};
use crate::codec;
use crate::error::{Failure, unreadable};
use crate::object::{self, Fields};
use crate::state::State;
use crate::verbs::delete_options::DeleteOptions;
use crate::verbs::update::{Part, Wanted, update};
use crate::verbs::{Cx, delete};

/// The finalizer that waits for a definition's objects.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Marks a definition that is to go.
pub(crate) fn mark(definition: &mut Value, now: &str) {
    let mut finalizers: Vec<String> = object::finalizers(definition).into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    object::set_finalizers(definition, &finalizers);
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    conditions::set(definition, terminating("True", "InstanceDeletionPending", message), now);
}

fn terminating(status: &'static str, reason: &'static str, message: &str) -> Condition {
    Condition { kind: "Terminating", status, reason, message: message.to_owned() }
}

/// Deletes the objects of a definition that is to go, and lets it go when there are none. If some stay, answers what
/// tells of changes to them.
pub(super) async fn end(state: &State, definition: &Value) -> Result<Option<Watch>, Failure> {
    if !object::finalizers(definition).contains(&FINALIZER) {
        return Ok(None);
    }
    let last = if conditions::is_served(definition) {
        let message = "CustomResource deletion is in progress";
        say(state, definition, terminating("True", "InstanceDeletionInProgress", message)).await?;
        let definitions = state.custom.definitions();
        let served = definitions.named(object::name(definition)).map(Definition::stored);
        if let Some(served) = served
            && let Some(left) = delete_all(state, &served).await?
        {
            return Ok(Some(left));
        }
        terminating("False", "InstanceDeletionCompleted", "removed all instances")
    } else {
        terminating("False", "NeverEstablished", "resource was never established")
    };
    release(state, definition, last).await.map(|()| None)
}

/// Writes a condition of a definition, if it is not there yet.
async fn say(state: &State, definition: &Value, condition: Condition) -> Result<(), Failure> {
    let mut wanted = definition.clone();
    conditions::set(&mut wanted, condition, &state.timestamp());
    if wanted == *definition {
        return Ok(());
    }
    wanted.take("metadata.resourceVersion");
    controller::write(state, &wanted).await
}

/// Deletes the objects of a definition. If some stay, answers what tells of changes to them.
async fn delete_all(state: &State, served: &Served) -> Result<Option<Watch>, Failure> {
    let kind = served.version().kind;
    let options = DeleteOptions::default();
    let prefix = codec::prefix(kind, None);
    let keys: Vec<_> = state.store.snapshot().range(&prefix, None).map(|entry| entry.key.clone()).collect();
    for key in keys {
        let (namespace, name) = codec::split_key(kind, &key);
        let cx = Cx::custom(state, served, namespace);
        match delete::delete(&cx, name, &options).await {
            Ok(_) | Err(Failure::NotFound { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    // None can be made any more: what makes one demands that the definition is as it was before it was to go.
    let left = state.store.snapshot();
    if left.count(&prefix) == 0 {
        return Ok(None);
    }
    let revision = left.revision();
    state.store.watch(&prefix, revision).map(Some).map_err(|error| unreadable(&error, revision))
}

/// Takes the finalizer off a definition, which goes with the last one.
async fn release(state: &State, definition: &Value, last: Condition) -> Result<(), Failure> {
    say(state, definition, last).await?;
    let change = &mut |live: &Value| {
        let mut live = live.clone();
        let others = object::finalizers(&live).into_iter().filter(|finalizer| *finalizer != FINALIZER);
        let others: Vec<String> = others.map(str::to_owned).collect();
        object::set_finalizers(&mut live, &others);
        Ok(Wanted::Owned(live))
    };
    let cx = Cx::new(state, controller::kind(), "");
    update(&cx, object::name(definition), Part::Whole, &controller::options(), change).await.map(|_| ())
}
