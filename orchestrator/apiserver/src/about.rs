//! What the server says about itself: version, health, OpenAPI.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use wherry_schema::openapi;

use crate::error::Failure;
use crate::request::negotiate::Accept;
use crate::request::query::Query;
use crate::respond;
use crate::status::plain;

/// Answers `/version`.
pub(crate) fn version(accept: Accept) -> Response {
    let version = json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": concat!("v1.36.2+wherry.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    });
    respond::json(StatusCode::OK, version.to_string().into(), accept.yaml)
}

/// Answers `/livez`, `/readyz`, `/healthz`: a server that can answer has its whole state in memory.
pub(crate) fn health(name: &str, query: &Query) -> Response {
    if query.get("verbose").is_none() {
        return plain(StatusCode::OK, "ok");
    }
    plain(StatusCode::OK, &format!("[+]ping ok\n[+]store ok\n{name} check passed\n"))
}

/// Answers `/openapi/v3`.
pub(crate) fn openapi_index() -> Response {
    let mut response = Response::new(Body::from(openapi::index()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Answers the document of a group version. One whose hash is in the URL never changes.
pub(crate) fn openapi_document(name: &str, query: &Query, headers: &HeaderMap) -> Result<Response, Failure> {
    let document = openapi::document(name).ok_or(Failure::NoSuchPath)?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", document.hash))
        .map_err(|e| Failure::Internal(e.to_string()))?;
    let gzip = headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("gzip"));
    let known = headers.get(IF_NONE_MATCH) == Some(&tag);
    let body = match (known, gzip) {
        (true, _) => Body::empty(),
        (false, true) => Body::from(document.gzip),
        (false, false) => Body::from(document.json()),
    };
    let mut response = Response::new(body);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ETAG, tag);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
    if gzip && !known {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let forever = query.get("hash") == Some(document.hash);
    let cache = if forever { "public, immutable, max-age=31536000" } else { "no-cache, private" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}
