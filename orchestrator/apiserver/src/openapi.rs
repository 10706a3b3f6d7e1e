//! `/openapi/v3` and `/openapi/v2`: the documents that the build made, those of custom kinds, and those that other
//! servers tell of, tagged, cached and compressed.
//!
//! They stay compressed; a client that does not take gzip has its document unpacked while it waits.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, EXPIRES, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use wherry_schema::openapi;

use crate::aggregate::Aggregated;
use crate::custom::Documents;
use crate::error::Failure;
use crate::request::negotiate::accepts_gzip;
use crate::request::query::Query;
use crate::respond;
use crate::status::plain;

/// Answers `/openapi/v3`: where the documents are.
pub(crate) fn index(
    headers: &HeaderMap,
    custom: &Documents,
    elsewhere: &[(String, String)],
) -> Result<Response, Failure> {
    let others = || elsewhere.iter().map(|(name, url)| (name.as_str(), url.as_str()));
    let mut response = tagged(headers, &openapi::index_hash(custom.hashes().chain(others())))?;
    if response.status() == StatusCode::OK {
        *response.body_mut() = Body::from(openapi::index(custom.hashes(), others()));
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// Answers the document of a group version. One whose hash is in the URL never changes; an outdated hash leads to the
/// current one.
pub(crate) fn version_3(
    name: &str,
    query: &Query,
    (headers, custom): (&HeaderMap, &Documents),
    now: Timestamp,
) -> Result<Response, Failure> {
    let builtin = openapi::document(name).map(|found| (found.hash, Bytes::from_static(found.gzip)));
    let (tag, gzip) = builtin.or_else(|| custom.document(name)).ok_or(Failure::NoSuchPath)?;
    let hash = query.get("hash").filter(|hash| !hash.is_empty());
    if hash.is_some_and(|hash| hash != tag) {
        return moved(&openapi::url(name, tag));
    }
    let mut response = serve(tag, gzip, headers)?;
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Accept"));
    if hash.is_some() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        headers.insert(EXPIRES, next_year(now)?);
    }
    Ok(response)
}

/// Whether the document of a group version is had here.
pub(crate) fn is_own(name: &str, custom: &Documents) -> bool {
    openapi::document(name).is_some() || custom.has(name)
}

/// Answers `/openapi/v2`: everything in one document of the older form.
pub(crate) fn version_2(
    headers: &HeaderMap,
    custom: &Documents,
    aggregated: &Aggregated,
) -> Result<Response, Failure> {
    let builtin = || (openapi::swagger().hash, Bytes::from_static(openapi::swagger().gzip));
    let (tag, gzip) = custom.swagger().unwrap_or_else(builtin);
    let merged = aggregated.documents.swagger(&aggregated.remotes(), (tag, &gzip));
    let (tag, gzip) = merged.unwrap_or_else(|| (tag.to_owned(), gzip));
    let mut response = serve(&tag, gzip, headers)?;
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn serve(tag: &str, gzip: Bytes, headers: &HeaderMap) -> Result<Response, Failure> {
    if !accepts_json(headers) {
        return Ok(plain(StatusCode::NOT_ACCEPTABLE, ""));
    }
    let mut response = tagged(headers, tag)?;
    let parts = response.headers_mut();
    parts.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    if accepts_gzip(headers) {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = Body::from(gzip);
    } else {
        *response.body_mut() = Body::from(openapi::unpack(&gzip));
    }
    Ok(response)
}

/// The beginning of an answer with this tag, or the whole of it if the client has the document already.
fn tagged(headers: &HeaderMap, hash: &str) -> Result<Response, Failure> {
    let tag = HeaderValue::from_str(&format!("\"{hash}\"")).map_err(|e| Failure::Internal(e.to_string()))?;
    let mut response = Response::default();
    if respond::knows(headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response.headers_mut().insert(ETAG, tag);
    Ok(response)
}

fn moved(url: &str) -> Result<Response, Failure> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let url = HeaderValue::from_str(url).map_err(|e| Failure::Internal(e.to_string()))?;
    response.headers_mut().insert(LOCATION, url);
    Ok(response)
}

/// A year from now, as HTTP writes dates.
fn next_year(now: Timestamp) -> Result<HeaderValue, Failure> {
    let then = now.checked_add(SignedDuration::from_hours(365 * 24)).unwrap_or(now);
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&then);
    let text = text.map_err(|e| Failure::Internal(e.to_string()))?;
    HeaderValue::from_str(&text).map_err(|e| Failure::Internal(e.to_string()))
}

/// Whether the client takes JSON; the protobuf form of the documents is not served.
fn accepts_json(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else { return true };
    accept.trim().is_empty()
        || accept
            .split(',')
            .map(|clause| clause.split(';').next().unwrap_or_default().trim())
            .any(|media| matches!(media, "application/json" | "application/*" | "*/*" | "*"))
}
