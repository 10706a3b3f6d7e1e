//! Who writes what a definition says of itself, and ends those that are deleted.
//!
//! One task follows the definitions in the store. It looks at all of them whenever any changes, because one that goes may
//! free the names that another waits for; looking costs a decoding of those that changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use wherry_api::kinds::{Kind, by_kind};
use wherry_schema::Value;
use wherry_store::{Entry, Revision, Snapshot, Watch};

use super::registry::PREFIX;
use super::{cleanup, conditions};
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::query::WriteOptions;
use crate::state::State;
use crate::verbs::Cx;
use crate::verbs::owners::MANAGED_FIELDS;
use crate::verbs::update::{Part, Wanted, update};

/// Who owns the conditions.
const MANAGER: &str = "kube-apiserver";
/// How long what could not be written is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// The row of definitions.
pub(super) fn kind() -> &'static Kind {
    by_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
        .expect("the kinds table has definitions")
}

/// What is looked at of the definitions: all but their versions.
type Briefs = BTreeMap<Arc<str>, (Revision, Value)>;

/// Follows the definitions until the server stops.
pub(crate) async fn run(state: Arc<State>) {
    let stopping = state.stopping.clone();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = follow(&state) => {}
    }
}

async fn follow(state: &State) {
    let mut briefs = Briefs::new();
    loop {
        let snapshot = state.store.snapshot();
        let Ok(mut changes) = state.store.watch(PREFIX, snapshot.revision()) else { return };
        briefs = next(&briefs, &snapshot);
        // Whoever watches objects of a definition that has changed is told now, not when somebody looks it up.
        state.custom.definitions();
        let mut left = settle_all(state, &briefs).await;
        tokio::select! {
            event = changes.next() => if event.is_none() { return },
            () = left.wait() => {}
        }
    }
}

/// What is looked at of the definitions of a state. Only those that changed are decoded.
fn next(before: &Briefs, state: &Snapshot) -> Briefs {
    let brief = |entry: &Arc<Entry>| {
        let written = entry.mod_revision;
        if let Some(same) = before.get(&entry.key).filter(|(revision, _)| *revision == written) {
            return Some((entry.key.clone(), same.clone()));
        }
        let mut object = codec::decode(&entry.key, &entry.value).ok()?;
        object.take("spec.versions");
        object.take(MANAGED_FIELDS);
        Some((entry.key.clone(), (written, object)))
    };
    state.range(PREFIX, None).filter_map(brief).collect()
}

/// What was left for later.
#[derive(Default)]
struct Left {
    /// Whether something failed, which is tried again even if nothing changes.
    failed: bool,
    /// What tells of objects that keep their definitions from going.
    objects: Vec<Watch>,
}

impl Left {
    /// Returns when it may be done.
    async fn wait(&mut self) {
        let changes = self.objects.iter_mut().map(|objects| Box::pin(objects.next()));
        let mut changes: FuturesUnordered<_> = changes.collect();
        tokio::select! {
            Some(_) = changes.next() => {}
            () = tokio::time::sleep(RETRY), if self.failed => {}
            () = std::future::pending() => {}
        }
    }
}

/// Brings every definition to where it should be. Answers what was left for later.
async fn settle_all(state: &State, briefs: &Briefs) -> Left {
    let mut left = Left::default();
    for (_, definition) in briefs.values() {
        let settled = if object::terminating(definition) {
            cleanup::end(state, definition).await
        } else {
            settle_one(state, definition, briefs).await.map(|()| None)
        };
        match settled {
            Ok(objects) => left.objects.extend(objects),
            // Whoever changed it meanwhile makes it be looked at again.
            Err(Failure::NotFound { .. } | Failure::Conflict { .. }) => {}
            Err(error) => {
                let name = object::name(definition);
                tracing::warn!(name, %error, "what a definition says of itself cannot be written");
                left.failed = true;
            }
        }
    }
    left
}

async fn settle_one(state: &State, definition: &Value, briefs: &Briefs) -> Result<(), Failure> {
    let mut wanted = definition.clone();
    let all: Vec<&Value> = briefs.values().map(|(_, definition)| definition).collect();
    conditions::settle(&mut wanted, &all, &state.timestamp());
    if wanted != *definition {
        write(state, &wanted).await?;
    }
    Ok(())
}

/// Writes the status of a definition, unless it was changed after the one that `wanted` came of.
pub(super) async fn write(state: &State, wanted: &Value) -> Result<(), Failure> {
    let cx = Cx::new(state, kind(), "");
    let change = &mut |live: &Value| {
        let mut live = live.clone();
        for field in ["status.conditions", "status.acceptedNames"] {
            live.assign(field, wanted.field(field).cloned());
        }
        if let Some(read) = wanted.field("metadata.resourceVersion") {
            live.put("metadata.resourceVersion", read.clone());
        }
        Ok(Wanted::Patched(live))
    };
    update(&cx, object::name(wanted), Part::Status, &options(), change).await.map(|_| ())
}

/// How the server writes definitions.
pub(super) fn options() -> WriteOptions {
    WriteOptions::own(MANAGER)
}
