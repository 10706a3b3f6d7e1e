//! A request that a server of this process is given by another's guest, or by whoever else is in the process, without a connection between them.
//!
//! Guarantees: the server limits, times and counts it as one that came over a connection, and each side sees the headers that HTTP/1.1
//! would have left. Bodies are not copied: who writes waits until who reads has taken. Trailers arrive also where nobody announced them.

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::at_once::Begin;
use crate::response::Problem;
use crate::serve::Service;
use crate::servers::Servers;

/// More headers than this are not read from a connection.
const MOST_HEADERS: usize = 100;

/// The servers of a process; clones are the same.
#[derive(Clone, Default)]
pub struct Listening(pub(crate) Arc<Servers>);

/// One of them, found; clones are the same.
#[derive(Clone)]
pub struct Listener(Arc<Service>);

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}

impl Listening {
    /// The server that listens at an address.
    pub fn at(&self, address: SocketAddr) -> Option<Listener> {
        self.0.at(address).map(Listener)
    }
}

impl Listener {
    /// Has the server answer. An error is what the end of a connection would be; the request's body breaks off for the server as if its
    /// connection had.
    pub async fn answer<B>(
        self,
        request: Request<B>,
    ) -> Result<
        Response<impl Body<Data = Bytes, Error = impl std::error::Error + Send + Sync> + Send + use<B>>,
        impl std::error::Error + Send + Sync + use<B>,
    >
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        if request.headers().len() > MOST_HEADERS {
            let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
            *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Ok(response);
        }
        hand_over(&self.0, request.map(|body| body.map_err(|_| Error::ConnectionTerminated))).await
    }
}

/// Whether a request may be handed over: what a connection would refuse is for the connection to refuse.
pub(crate) fn may_be(request: &Request<WasiBody>) -> bool {
    *request.method() != Method::CONNECT && request.headers().len() < MOST_HEADERS
}

/// Has a server answer. What ends it ends the response, as the end of a connection would.
pub(crate) async fn hand_over<B>(
    service: &Arc<Service>,
    request: Request<B>,
) -> Result<Response<WasiBody>, Error>
where
    B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    *service.last_request.lock() = Instant::now();
    let asked_for_head = *request.method() == Method::HEAD;
    if service.signals.kill.is_cancelled() {
        return Err(Error::ConnectionTerminated);
    }
    let mut responding = pin!(service.respond(sent(request), Begin::AtOnce));
    // Mostly it is there at once; then nobody has to watch for anything.
    let answer = match futures::poll!(responding.as_mut()) {
        Poll::Ready(answer) => answer,
        Poll::Pending => tokio::select! {
            biased;
            () = service.signals.kill.cancelled() => return Err(Error::ConnectionTerminated),
            answer = responding => answer,
        },
    };
    let answer = answer.unwrap_or_else(Problem::response);
    if answer.status().is_informational() {
        return Err(Error::HttpProtocolError);
    }
    Ok(received(answer, asked_for_head, service.date()))
}

/// The request as it arrives.
fn sent<B: Body>(mut request: Request<B>) -> Request<B> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    if !request.body().is_end_stream() {
        let length = request.body().size_hint().exact();
        tell_length(request.headers_mut(), length);
    }
    request
}

/// The response as it arrives.
fn received(
    mut response: Response<WasiBody>,
    asked_for_head: bool,
    date: Option<HeaderValue>,
) -> Response<WasiBody> {
    let ended = response.body().is_end_stream();
    let length = if ended { Some(0) } else { response.body().size_hint().exact() };
    let is_empty = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !(is_empty || asked_for_head && ended) {
        tell_length(response.headers_mut(), length);
    }
    if let Some(date) = date
        && !response.headers().contains_key(header::DATE)
    {
        response.headers_mut().insert(header::DATE, date);
    }
    if is_empty || asked_for_head {
        // The instance learns that nobody reads what it writes.
        return response.map(|_| Empty::new().map_err(|never| match never {}).boxed_unsync());
    }
    response
}

/// A body whose length is known is sent with it.
fn tell_length(headers: &mut HeaderMap, length: Option<u64>) {
    if let Some(length) = length
        && !headers.contains_key(header::CONTENT_LENGTH)
    {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Mon, 23 Nov 2026 06:00:00 GMT";

    fn body(text: &'static str) -> WasiBody {
        Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
    }

    fn answered(status: u16, text: &'static str, head: bool) -> (HeaderMap, u64) {
        let response = Response::builder().status(status).body(body(text)).unwrap();
        let response = received(response, head, Some(HeaderValue::from_static(DATE)));
        let length = response.body().size_hint().exact().unwrap();
        (response.headers().clone(), length)
    }

    #[test]
    fn a_request_arrives_in_the_form_of_a_server() {
        let request = Request::post("http://web.shop/a/b?c=d").header(header::HOST, "web.shop");
        let arrived = sent(request.body(body("hello")).unwrap());
        assert_eq!(arrived.uri(), "/a/b?c=d");
        assert_eq!(arrived.headers()[header::HOST], "web.shop");
        assert_eq!(arrived.headers()[header::CONTENT_LENGTH], "5");
        let without = sent(Request::get("http://web.shop/").body(body("")).unwrap());
        assert!(without.headers().is_empty(), "{without:?}");
    }

    #[test]
    fn a_response_arrives_with_its_date_and_length_and_without_a_body_where_there_is_none() {
        let (headers, length) = answered(200, "hello", false);
        assert_eq!(
            (headers[header::DATE].to_str().unwrap(), &headers[header::CONTENT_LENGTH]),
            (DATE, &"5".parse().unwrap())
        );
        assert_eq!(length, 5);
        assert_eq!(answered(200, "", false).0[header::CONTENT_LENGTH], "0");
        let (headers, length) = answered(200, "hello", true);
        assert_eq!((headers[header::CONTENT_LENGTH].to_str().unwrap(), length), ("5", 0));
        for status in [204, 304] {
            let (headers, length) = answered(status, "hello", false);
            assert!(!headers.contains_key(header::CONTENT_LENGTH) && length == 0, "{status}: {headers:?}");
        }
    }

    #[test]
    fn what_a_connection_would_refuse_is_not_handed_over() {
        let mut request = Request::get("http://web/").body(body("")).unwrap();
        assert!(may_be(&request));
        *request.method_mut() = Method::CONNECT;
        assert!(!may_be(&request));
        *request.method_mut() = Method::GET;
        for number in 0..MOST_HEADERS {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static("y"));
        }
        assert!(!may_be(&request));
    }
}
