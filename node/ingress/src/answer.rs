//! Answers of the proxy itself: a status and a line that says why.

use http::header::{CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode};

use crate::body::{self, Body};
use crate::check::port_of;
use crate::filters::{Asked, Redirect};
use crate::rule::PathMatch;

/// An answer with a line of text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(body::line(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// An answer that leads a request, which asked by this scheme for this host and met a rule about `matched`, elsewhere.
pub(crate) fn elsewhere(
    redirect: &Redirect,
    matched: &PathMatch,
    head: &Parts,
    (scheme, host): (&'static str, &str),
) -> Response<Body> {
    let root = PathAndQuery::from_static("/");
    let target = head.uri.path_and_query().unwrap_or(&root);
    let asked = Asked { scheme, host, port: port_of(head), target };
    let Ok(location) = HeaderValue::try_from(redirect.location(&asked, matched)) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the rule leads to what is no location");
    };
    let mut response = plain(redirect.status, redirect.status.canonical_reason().unwrap_or_default());
    response.headers_mut().insert(LOCATION, location);
    response
}
