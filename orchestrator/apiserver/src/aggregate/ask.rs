//! What this server asks another in its own name.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::{Remote, forward};
use crate::auth::UserInfo;
use crate::state::State;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const MOST: usize = 16 << 20;

/// What is asked for, and in whose name.
pub(super) struct Question<'q> {
    pub(super) user: UserInfo,
    pub(super) path: &'q str,
    /// The tag of the answer that is known.
    pub(super) known: Option<&'q str>,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) tag: Option<String>,
    pub(super) body: Bytes,
}

/// Asks a server. An error says why there is no answer.
pub(super) async fn ask(state: &State, remote: &Remote, question: &Question<'_>) -> Result<Answer, String> {
    let answered = tokio::time::timeout(PATIENCE, send(state, remote, question)).await;
    answered.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()))
}

async fn send(state: &State, remote: &Remote, question: &Question<'_>) -> Result<Answer, String> {
    let mut request = Request::get(question.path)
        .header(ACCEPT, "application/json")
        .body(Body::empty())
        .map_err(|error| error.to_string())?;
    forward::identify(request.headers_mut(), &question.user);
    forward::name(request.headers_mut(), remote);
    if let Some(tag) = question.known.and_then(|tag| tag.try_into().ok()) {
        request.headers_mut().insert(IF_NONE_MATCH, tag);
    }
    let answer = forward::send(state, remote, request).await?;
    let (head, body) = answer.into_parts();
    let tag = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = Limited::new(body, MOST).collect().await.map_err(|error| error.to_string())?;
    Ok(Answer { status: head.status, tag, body: body.to_bytes() })
}
