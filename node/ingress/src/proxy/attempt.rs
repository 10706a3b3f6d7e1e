//! One request, tried at one endpoint after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::backend::Protocol;
use crate::body::{self, Body, BodyError, Holder, Received, Timed};
use crate::copied::copied;
use crate::filters::HeaderEdits;
use crate::headers;
use crate::inside::Ended;
use crate::pools::{ConnectError, Endpoint, Lease, SendError};

/// Why a request has no answer of an endpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("there is no endpoint that is ready")]
    Nobody(StatusCode),
    #[error("no endpoint can be reached")]
    Unreachable(#[source] ConnectError),
    #[error("the endpoint ended the connection without an answer")]
    Lost(#[source] hyper::Error),
    #[error("the endpoint ended without an answer")]
    Ended(#[source] Ended),
    #[error("the endpoint closed the connection before the request")]
    Closed,
    #[error("the endpoint did not answer in time")]
    Late,
    #[error("the request's body broke off")]
    Body(#[source] hyper::Error),
    #[error("the request's body did not come in time")]
    SlowBody,
}

impl Failure {
    /// What the client is answered.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Nobody(status) => *status,
            Self::Unreachable(_) | Self::Lost(_) | Self::Ended(_) | Self::Closed => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Whether it speaks against the endpoint.
    pub(super) fn is_of_endpoint(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Lost(_) | Self::Ended(_) | Self::Closed)
    }

    /// Whether another endpoint may do better, if the request can go there. Who waited long enough is told so.
    pub(super) fn allows_another(&self) -> bool {
        self.is_of_endpoint()
    }
}

/// An answer, and the connection it comes by.
pub(super) struct Answered {
    pub(super) response: Response<Received>,
    pub(super) lease: Lease,
    pub(super) endpoint: SocketAddr,
}

/// A request that has not been answered.
pub(super) struct Outgoing {
    head: Parts,
    /// The body, while nothing of it went.
    body: Option<Body>,
    /// Ends when the body went.
    uploaded: oneshot::Receiver<()>,
    /// Whether it may go again although it may have gone.
    is_repeatable: bool,
}

/// Tells when a body went to its end, or was given up.
struct Uploaded(Option<oneshot::Sender<()>>);

impl Holder for Uploaded {
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Outgoing {
    pub(super) fn new(mut head: Parts, body: Incoming, stalled: Duration) -> Self {
        let has_body = !body.is_end_stream();
        // Without it, hyper leaves out bodies of unknown length of methods that seldom have any.
        if has_body && body.size_hint().exact().is_none() {
            head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let is_repeatable = !has_body && head.method.is_idempotent();
        let (sender, uploaded) = oneshot::channel();
        let body = Timed::new(Received::Left(body), Uploaded(Some(sender)), stalled);
        Self { head, body: Some(Body::new(body)), uploaded, is_repeatable }
    }

    /// The same request for somebody else. Of its body this one gets what goes; if it is slower, its body breaks off.
    pub(super) fn copy(&mut self) -> Self {
        let (sender, uploaded) = oneshot::channel();
        let holder = Uploaded(Some(sender));
        let body = match self.body.take() {
            Some(body) if !body.is_end_stream() => {
                let (body, copy) = copied(body, holder);
                self.body = Some(body);
                copy
            }
            other => {
                self.body = other;
                body::empty()
            }
        };
        Self { head: self.head.clone(), body: Some(body), uploaded, is_repeatable: self.is_repeatable }
    }

    /// Changes its headers; copies that were made before keep theirs.
    pub(super) fn edit(&mut self, edits: &HeaderEdits) {
        edits.apply(&mut self.head.headers);
    }

    /// Whether it is whole, or may go again without what went.
    pub(super) fn can_go_again(&self) -> bool {
        self.body.is_some() || self.is_repeatable
    }

    /// Asks this endpoint, a second time if the first connection was an old one.
    pub(super) async fn try_at(
        &mut self,
        endpoint: &Arc<Endpoint>,
        answer_time: Duration,
    ) -> Result<Answered, Failure> {
        let mut welcome = true;
        loop {
            let mut lease = endpoint.lease(welcome).await.map_err(Failure::Unreachable)?;
            let failure = match self.send(&mut lease, endpoint.protocol, answer_time).await {
                Ok(response) => {
                    return Ok(Answered { response, lease, endpoint: endpoint.address });
                }
                Err(failure) => failure,
            };
            let may_again = failure.allows_another() && self.can_go_again();
            if !(lease.is_reused && may_again) {
                return Err(failure);
            }
            welcome = false;
        }
    }

    async fn send(
        &mut self,
        lease: &mut Lease,
        protocol: Protocol,
        answer_time: Duration,
    ) -> Result<Response<Received>, Failure> {
        let body = self.body.take().unwrap_or_else(body::empty);
        let request = Request::from_parts(self.head_for(protocol), body);
        // An endpoint has its time from when it has the whole request.
        let late = async {
            if !self.uploaded.is_terminated() {
                // Ends when the body did, or was given up.
                let _ = (&mut self.uploaded).await;
            }
            tokio::time::sleep(answer_time).await;
        };
        let answer = tokio::select! {
            biased;
            answer = lease.send(request) => answer,
            () = late => return Err(Failure::Late),
        };
        answer.map_err(|error| match error {
            SendError::NotSent(body) => {
                self.body = Some(body);
                Failure::Closed
            }
            SendError::Lost(error) => lost(error),
            SendError::Ended(error) => Failure::Ended(error),
        })
    }

    /// The head of the request as this protocol has it.
    fn head_for(&self, protocol: Protocol) -> Parts {
        let mut head = self.head.clone();
        head.extensions.clear();
        let path = head.uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let host = head.headers.get(http::header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path);
        if protocol == Protocol::Http2 {
            (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Authority::try_from(host).ok());
        }
        head.uri = Uri::from_parts(parts).unwrap_or_default();
        headers::suit(&mut head.headers, protocol);
        head.version = match protocol {
            Protocol::Http1 | Protocol::Https => Version::HTTP_11,
            Protocol::Http2 => Version::HTTP_2,
        };
        head
    }
}

/// What became of a request that went at least in part.
fn lost(error: hyper::Error) -> Failure {
    let mut cause = std::error::Error::source(&error);
    while let Some(found) = cause {
        match found.downcast_ref::<BodyError>() {
            Some(BodyError::Stalled) => return Failure::SlowBody,
            Some(BodyError::Broken(_) | BodyError::Abandoned) => return Failure::Body(error),
            None => cause = found.source(),
        }
    }
    Failure::Lost(error)
}
