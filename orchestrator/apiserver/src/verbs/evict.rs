//! Eviction: a deletion that asks first. There are no disruption budgets yet, so nothing refuses.

use wherry_schema::{Format, Value};

use super::delete_options::DeleteOptions;
use super::{Cx, delete};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::status::Status;

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
    let text = |path: &str| {
        let text = eviction.text(&format!("deleteOptions.preconditions.{path}"));
        (!text.is_empty()).then(|| text.to_owned())
    };
    let options = DeleteOptions {
        dry_run,
        grace_seconds: eviction.int("deleteOptions.gracePeriodSeconds"),
        propagation: None,
        orphan: None,
        uid: text("uid"),
        resource_version: text("resourceVersion"),
    };
    delete::delete(cx, name, &options).await?;
    Ok(Status::success(None, 201).to_json())
}
