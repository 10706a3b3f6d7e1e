//! Eviction: a deletion that asks the Pod's disruption budget first.
//!
//! ```text
//!  Pod --ended, not begun, going--> deleted
//!    \--not ready, and that does no harm--> deleted if it stays so
//!     \--else--> one less in its budget, which notes the Pod --> deleted
//! ```
//!
//! Guarantees: a budget is written only as it was read, so that however many evictions come at once no more succeed than
//! it allows. A Pod that counts as unhealthy is deleted only as it was read: it may have become ready.

mod budget;

use wherry_schema::{Format, Value};
use wherry_store::{Entry, Precondition, TxnError};

use super::delete_options::DeleteOptions;
use super::{ATTEMPTS, Cx, delete};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::status::Status;
use budget::Budgets;

/// Reads an Eviction.
pub(crate) fn parse(bytes: &[u8], format: Format) -> Result<Value, Failure> {
    let value = wherry_schema::decode::parse(bytes, format)
        .map_err(|e| Failure::BadRequest(format!("the eviction cannot be read: {e}")))?;
    match (value.text("kind"), value.text("apiVersion")) {
        ("" | "Eviction", "" | "policy/v1") => Ok(value),
        (kind, version) => Err(Failure::BadRequest(format!(
            "{kind} in version {version:?} cannot be handled as a Eviction: policy/v1 is expected"
        ))),
    }
}

/// Evicts the Pod of this name and answers the body that says so.
pub(crate) async fn evict(
    cx: &Cx<'_>,
    name: &str,
    eviction: &Value,
    dry_run: bool,
) -> Result<Vec<u8>, Failure> {
    let given = object::name(eviction);
    if !given.is_empty() && given != name {
        return Err(Failure::BadRequest("name in URL does not match name in Eviction object".to_owned()));
    }
    let options = options(eviction, dry_run);
    for _ in 0..ATTEMPTS {
        let entry = cx.state.store.get(&cx.key(name)).ok_or_else(|| cx.not_found(name))?;
        let pod = cx.load(&entry.key, &entry.value).await?;
        options.check(cx, &pod)?;
        match attempt(cx, (&*entry, &pod), &options).await {
            // Another writer was faster, and the client did not say which state of the Pod it means.
            Err(Failure::Conflict { .. }) if options.resource_version.is_none() => {}
            Err(failure) => return Err(failure),
            Ok(()) => return Ok(Status::success(None, 201).to_json()),
        }
    }
    Err(Failure::modified(cx.kind, name))
}

fn options(eviction: &Value, dry_run: bool) -> DeleteOptions {
    let text = |path: &str| {
        let text = eviction.text(&format!("deleteOptions.preconditions.{path}"));
        (!text.is_empty()).then(|| text.to_owned())
    };
    DeleteOptions {
        dry_run: dry_run || !eviction.items("deleteOptions.dryRun").is_empty(),
        grace_seconds: eviction.int("deleteOptions.gracePeriodSeconds"),
        propagation: None,
        orphan: None,
        uid: text("uid"),
        resource_version: text("resourceVersion"),
    }
}

/// One try; a conflict if the Pod or its budget was changed by another meanwhile.
async fn attempt(cx: &Cx<'_>, pod: (&Entry, &Value), options: &DeleteOptions) -> Result<(), Failure> {
    let phase = pod.1.text("status.phase");
    let ended = matches!(phase, "Succeeded" | "Failed") || object::terminating(pod.1);
    if ended || phase == "Pending" {
        return remove(cx, pod, options, !ended).await;
    }
    let Some(budget) = Budgets::of(cx, pod.1).await?.only()? else {
        return remove(cx, pod, options, false).await;
    };
    if !is_ready(pod.1) && budget.spares_unhealthy() {
        return match remove(cx, pod, options, true).await {
            Err(Failure::Conflict { .. }) if options.resource_version.is_none() => Err(budget.busy()),
            removed => removed,
        };
    }
    budget.take_one(cx, pod, options.dry_run).await?;
    // The Pod may have been changed since; whatever it is now, its eviction is allowed.
    for _ in 0..ATTEMPTS {
        let name = object::name(pod.1);
        let Some(entry) = cx.state.store.get(&cx.key(name)) else { return Err(cx.not_found(name)) };
        let latest = cx.load(&entry.key, &entry.value).await?;
        options.check(cx, &latest)?;
        match remove(cx, (&*entry, &latest), options, false).await {
            Err(Failure::Conflict { .. }) if options.resource_version.is_none() => {}
            removed => return removed,
        }
    }
    Err(Failure::modified(cx.kind, object::name(pod.1)))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.items("status.conditions");
    conditions.iter().any(|condition| condition.text("type") == "Ready" && condition.text("status") == "True")
}

/// Says in the Pod why it goes, and deletes it; `as_read` only if it is still as it was read.
async fn remove(
    cx: &Cx<'_>,
    (entry, pod): (&Entry, &Value),
    options: &DeleteOptions,
    as_read: bool,
) -> Result<(), Failure> {
    let mut options = options.clone();
    if !options.dry_run {
        let revision = mark(cx, entry, pod).await?;
        if as_read || options.resource_version.is_some() {
            options.resource_version = Some(revision.to_string());
        }
    } else if as_read {
        options.resource_version.get_or_insert_with(|| entry.mod_revision.to_string());
    }
    delete::delete(cx, object::name(pod), &options).await.map(drop)
}

/// Writes the condition that says that the Pod is evicted; answers the Pod's revision then.
async fn mark(cx: &Cx<'_>, entry: &Entry, pod: &Value) -> Result<u64, Failure> {
    let mut marked = pod.clone();
    add_condition(&mut marked, &cx.state.timestamp());
    let encoded = cx.encode(&marked).await?;
    let unchanged = Precondition::ModRevision { key: entry.key.to_string(), revision: entry.mod_revision };
    match cx.put(&entry.key, &encoded, vec![unchanged]).await {
        Ok(revision) => Ok(revision),
        Err(TxnError::Conflict { .. }) => Err(Failure::modified(cx.kind, object::name(pod))),
        Err(error) => Err(error.into()),
    }
}

fn add_condition(pod: &mut Value, now: &str) {
    let mut condition = Value::object();
    condition.put("type", "DisruptionTarget");
    condition.assign("observedGeneration", pod.field("metadata.generation").cloned());
    condition.put("status", "True");
    condition.put("lastTransitionTime", now);
    condition.put("reason", "EvictionByEvictionAPI");
    condition.put("message", "Eviction API: evicting");
    let mut conditions = pod.items("status.conditions").to_vec();
    match conditions.iter_mut().find(|found| found.text("type") == "DisruptionTarget") {
        None => conditions.push(condition),
        Some(found) => {
            if found.text("status") == "True" {
                condition.assign("lastTransitionTime", found.field("lastTransitionTime").cloned());
            }
            *found = condition;
        }
    }
    pod.put("status.conditions", conditions);
}
