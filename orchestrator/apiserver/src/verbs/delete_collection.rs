//! Deletecollection: every object a list would answer, one by one.

use axum::response::Response;

use super::delete_options::DeleteOptions;
use super::{Cx, delete, list};
use crate::error::Failure;
use crate::request::negotiate::Accept;
use crate::request::query::ListOptions;

/// Deletes a collection and answers what was in it.
pub(crate) async fn delete_collection(
    cx: &Cx<'_>,
    list_options: &ListOptions,
    options: &DeleteOptions,
    accept: Accept,
) -> Result<Response, Failure> {
    let page = list::page(cx, list_options).await?;
    for entry in &page.entries {
        let (_, name) = crate::codec::split_key(cx.stored, &entry.key);
        let (namespace, _) = crate::codec::split_key(cx.stored, &entry.key);
        let own = Cx { namespace, ..*cx };
        match delete::delete_as(&own, name, "", options).await {
            // Somebody else deleted it, which is as good.
            Ok(_) | Err(Failure::NotFound { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    list::respond(cx, page, accept).await
}
