//! Requests to programs that extend the server: webhooks that admit or convert objects, authorize, know users or collect
//! events, and issuers of tokens.
//!
//! An [`Endpoint`] is one such program as its configuration names it, with the connections to it that wait for the next
//! request. Texts of errors are those that clients of Kubernetes know, which are Go's.

pub(crate) mod connect;
pub(crate) mod fetch;
pub(crate) mod kubeconfig;
pub(crate) mod place;
pub(crate) mod tls;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wherry_schema::Value;

use crate::object::Fields;
use crate::state::State;
pub(crate) use connect::words;
use place::Place;

/// How many connections to an endpoint wait for the next request.
const IDLE: usize = 32;
/// The most bytes an endpoint answers.
const MOST: usize = 16 << 20;
const JSON: &str = "application/json";
/// Why there is no answer when it does not come in time.
pub(crate) const LATE: &str = "context deadline exceeded";

type Sender = SendRequest<Full<Bytes>>;

/// Why an endpoint gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("Post \"{url}\": {why}")]
    Unreachable { url: String, why: String },
    #[error("{0}")]
    Refused(String),
}

/// A program that answers requests.
pub(crate) struct Endpoint {
    /// What the configuration names; an error says why that cannot be used.
    place: Result<Place, String>,
    tls: Result<tokio_rustls::TlsConnector, String>,
    /// What lets this server in there.
    authorization: Option<HeaderValue>,
    /// Ends its connections; when the server begins to stop if there is none.
    until: Option<CancellationToken>,
    idle: Mutex<Vec<Sender>>,
}

impl Endpoint {
    /// The endpoint that a `clientConfig` names.
    pub(crate) fn new(config: &Value) -> Self {
        Self::with(config, tls::connector(config.text("caBundle")), None)
    }

    /// The endpoint that a `clientConfig` names, reached in a way of its own.
    pub(crate) fn with(
        config: &Value,
        tls: Result<tokio_rustls::TlsConnector, String>,
        authorization: Option<HeaderValue>,
    ) -> Self {
        Self { place: Place::of(config), tls, authorization, until: None, idle: Mutex::default() }
    }

    /// The same, with connections that last beyond the time when the server begins to stop.
    pub(crate) fn until(self, end: CancellationToken) -> Self {
        Self { until: Some(end), ..self }
    }

    /// Sends JSON and answers what comes back, if it does in time.
    pub(crate) async fn post(
        &self,
        state: &State,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let (status, body) = self.send(state, body, timeout).await?;
        if status.is_success() { Ok(body) } else { Err(CallError::Refused(refusal(status, &body))) }
    }

    /// The same, whatever the status of the answer is.
    pub(crate) async fn send(
        &self,
        state: &State,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let place = self.place.as_ref().map_err(|why| CallError::Refused(why.clone()))?;
        let uri = format!("{}?timeout={}s", place.path, timeout.as_secs());
        let mut request = Request::post(&uri)
            .header(HOST, &place.authority)
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, JSON)
            .header(USER_AGENT, "wherry")
            .body(Full::new(body))
            .map_err(|error| CallError::Refused(error.to_string()))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let unreachable =
            |why| CallError::Unreachable { url: format!("https://{}{uri}", place.authority), why };
        let answer = tokio::time::timeout(timeout, self.exchange(state, place, request)).await;
        let answer = answer.unwrap_or_else(|_| Err(LATE.to_owned()));
        answer.map_err(unreachable)
    }

    /// Sends a request over a connection that waits for one, or over a new one.
    async fn exchange(
        &self,
        state: &State,
        place: &Place,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), String> {
        while let Some(mut sender) = self.pop() {
            if sender.ready().await.is_err() {
                continue;
            }
            // What was closed just now has not read the request.
            match sender.try_send_request(request.clone()).await {
                Ok(response) => return self.answer(sender, response).await,
                Err(error) if error.message().is_some() => {}
                Err(error) => return Err(error.error().to_string()),
            }
        }
        let tls = self.tls.as_ref().map_err(Clone::clone)?;
        let mut sender =
            connect::connect(state, place, tls, self.until.as_ref().unwrap_or(&state.stopping)).await?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        self.answer(sender, response).await
    }

    fn pop(&self) -> Option<Sender> {
        self.idle.lock().pop()
    }

    /// Reads an answer to its end, after which its connection is free.
    async fn answer(
        &self,
        sender: Sender,
        response: http::Response<Incoming>,
    ) -> Result<(StatusCode, Bytes), String> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let mut idle = self.idle.lock();
        if idle.len() < IDLE && !sender.is_closed() {
            idle.push(sender);
        }
        Ok((status, body))
    }
}

/// What an answer that is none says, as Go's client for Kubernetes tells it.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> String {
    if let Ok(told) = Value::from_json(body)
        && told.text("kind") == "Status"
        && !told.text("message").is_empty()
    {
        return told.text("message").to_owned();
    }
    let body = String::from_utf8_lossy(body);
    let shown = body.trim();
    match status.as_u16() {
        404 => "the server could not find the requested resource".to_owned(),
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 => shown.to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the \
                request"
            .to_owned(),
        500.. => format!(
            "an error on the server ({:?}) has prevented the request from succeeding",
            if shown.is_empty() { "unknown" } else { shown }
        ),
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(500, "boom", "an error on the server (\"boom\") has prevented the request from succeeding")]
    #[case(500, "", "an error on the server (\"unknown\") has prevented the request from succeeding")]
    #[case(404, "404 page not found", "the server could not find the requested resource")]
    #[case(409, r#"{"kind":"Status","message":"no"}"#, "no")]
    #[case(302, "", "the server responded with the status code 302 but did not return more information")]
    fn an_answer_that_is_none_is_told(#[case] code: u16, #[case] body: &str, #[case] text: &str) {
        assert_eq!(refusal(StatusCode::from_u16(code).unwrap(), body.as_bytes()), text);
    }
}
