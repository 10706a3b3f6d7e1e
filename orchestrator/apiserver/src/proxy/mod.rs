//! Proxy: requests passed on to a Pod, to an endpoint of a Service or to a Node, and their answers passed back.
//!
//! ```text
//! .../services/https:web:main/proxy/a/b?q -> target: who is meant, and which address
//!   -> connect: TCP, TLS if wanted -> the request without what is the client's secret or this hop's own
//!   -> the answer, whose links and redirects lead through the proxy again (rewrite, html)
//!   -> or, if both sides agree to speak another protocol, bytes in both directions (tunnel)
//! ```
//!
//! Guarantees: connections go to addresses that a Pod's own status or a Node names and that are no addresses of this
//! machine for itself ([`target`]); the caller's credentials stay here.

pub(crate) mod connect;
pub(crate) mod headers;
mod html;
mod path;
mod rewrite;
mod target;
pub(crate) mod tunnel;

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;

use crate::error::Failure;
use crate::verbs::Cx;
pub(crate) use connect::trusting;
pub(crate) use headers::wants_upgrade;
use path::Place;
use rewrite::Rewriter;

/// The address of the client, as its connection knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Marks an answer that somebody else gave: it is passed back as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed;

/// Passes a request on to `name` and answers what comes back.
pub(crate) async fn proxy(cx: &Cx<'_>, name: &str, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let target = target::find(cx, name)?;
    let place = Place::of(parts.uri.path(), cx.kind.namespaced);
    let upgrade = parts.extensions.get::<OnUpgrade>().filter(|_| wants_upgrade(&parts.headers));
    if upgrade.is_none() && place.path.is_empty() && matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(redirect(&parts.uri));
    }
    let request = outgoing(parts, &place, upgrade.is_some(), body)?;
    let stream = connect::connect(cx.state, &target).await.map_err(|error| match upgrade {
        Some(_) => Failure::Unversioned(error.to_string()),
        None => unreachable_service(&error),
    })?;
    let mut answer = connect::send(cx.state, stream, request).await.map_err(|e| unreachable_service(&e))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(client) = upgrade {
            tunnel::open(cx.state, client.clone(), &mut answer);
        }
    } else {
        headers::clean(answer.headers_mut());
        let host = host(parts);
        let rewriter = Rewriter { prefix: place.escaped_prefix(), backend: target.authority(), host };
        answer = rewriter.answer(answer).await;
    }
    answer.extensions_mut().insert(Passed);
    Ok(answer)
}

/// The path that a request asks the other side for, without the slash it begins with.
pub(crate) fn path_of(uri: &Uri, namespaced: bool) -> String {
    Place::of(uri.path(), namespaced).path.trim_start_matches('/').to_owned()
}

fn unreachable_service(error: &connect::ConnectError) -> Failure {
    Failure::Unreachable(format!("error trying to reach service: {error}"))
}

/// The answer to a request for the proxy itself: links of a page can only be relative to a path that ends in `/`.
fn redirect(uri: &Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::try_from(format!("{}/{query}", uri.path())) {
        response.headers_mut().insert(LOCATION, location);
    }
    response.extensions_mut().insert(Passed);
    response
}

/// The host that the client called.
fn host(parts: &Parts) -> String {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

/// The request as it goes on.
fn outgoing(parts: &Parts, place: &Place, upgrade: bool, body: Body) -> Result<Request<Body>, Failure> {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = Uri::try_from(format!("{}{query}", place.escaped()))
        .map_err(|error| Failure::BadRequest(format!("the path cannot be passed on: {error}")))?;
    let mut headers = parts.headers.clone();
    headers::keep_secrets(&mut headers);
    headers::forward(&mut headers, upgrade, parts.extensions.get::<Peer>().map(|peer| peer.0));
    if let Ok(forwarded) = HeaderValue::try_from(place.forwarded()) {
        headers.insert("x-forwarded-uri", forwarded);
    }
    if let Ok(host) = HeaderValue::try_from(host(parts)) {
        headers.insert(HOST, host);
    }
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Whether an answer is a page.
fn is_html(response: &Response) -> bool {
    let media = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.is_some_and(|media| media.split(';').next().unwrap_or_default().trim() == "text/html")
}
