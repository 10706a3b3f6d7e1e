//! Reviews: questions that are answered and not stored.
//!
//! A review is created and answered at once. Who asks owns what they said, as with every object; nothing of it is kept.

mod access;
mod identity;
mod rules;

use axum::response::Response;
use http::StatusCode;
use wherry_schema::Value;

use super::{Cx, incoming, owners};
use crate::auth::UserInfo;
use crate::codec;
use crate::error::Failure;
use crate::request::negotiate::{Accept, Shape};
use crate::request::query::WriteOptions;
use crate::{respond, table};

/// Answers a review.
pub(crate) async fn answer(
    cx: &Cx<'_>,
    mut review: Value,
    options: &WriteOptions,
    accept: Accept,
) -> Result<Response, Failure> {
    owners::created(cx, &mut review, &options.manager)?;
    incoming::settle_namespace(cx, &mut review)?;
    let user = cx.user.ok_or(Failure::Unauthorized)?;
    let answer = match cx.kind.kind {
        "SelfSubjectReview" => identity::who(cx, user),
        "TokenReview" => identity::token(cx, review).await?,
        "SelfSubjectRulesReview" => rules::all(cx, user, &review)?,
        "SelfSubjectAccessReview" => access::own(cx, user, review).await?,
        _ => access::of_somebody(cx, review).await?,
    };
    let bytes = codec::encode_loose(cx.kind.kind, &cx.kind.api_version(), &answer);
    let bytes = match accept.shape {
        Shape::Partial(version) => table::partial(&bytes, version)?,
        _ => bytes,
    };
    Ok(respond::json(StatusCode::CREATED, bytes, accept.yaml))
}

/// Refuses to show a review as a table: there are no columns.
pub(crate) fn check_shape(accept: Accept) -> Result<(), Failure> {
    if matches!(accept.shape, Shape::Table(..)) { Err(Failure::NoSuchRepresentation) } else { Ok(()) }
}

/// What is told of a user.
fn show_user(user: &UserInfo) -> Value {
    let mut out = Value::object();
    out.set(&["username"], user.name.as_str());
    if !user.uid.is_empty() {
        out.set(&["uid"], user.uid.as_str());
    }
    out.set(&["groups"], user.groups.clone());
    for (key, values) in &user.extra {
        out.set(&["extra", key], values.clone());
    }
    out
}
