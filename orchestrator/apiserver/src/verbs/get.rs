//! Get: one object, as it is stored.

use axum::response::Response;
use http::StatusCode;

use super::{Cx, show};
use crate::error::Failure;
use crate::request::negotiate::Accept;
use crate::request::query::Query;

/// Answers an object.
pub(crate) async fn get(cx: &Cx<'_>, name: &str, query: &Query, accept: Accept) -> Result<Response, Failure> {
    if let Some(text) = query.get("resourceVersion").filter(|t| !t.is_empty()) {
        let requested = parse_version(text)?;
        let current = cx.state.store.revision();
        if requested > current {
            return Err(Failure::TooLargeVersion { requested, current });
        }
    }
    let entry = cx.state.store.get(&cx.key(name)).ok_or_else(|| cx.not_found(name))?;
    show::object(cx, StatusCode::OK, &entry.value, accept).await
}

/// A resourceVersion as a number.
pub(crate) fn parse_version(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::Unversioned(version_problem(text)))
}

/// What is wrong with a resourceVersion that is no number.
pub(crate) fn version_problem(text: &str) -> String {
    format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")
}
