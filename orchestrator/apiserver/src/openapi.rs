//! `/openapi/v3` and `/openapi/v2`: the documents that the build made, those of custom kinds, and those that other
//! servers tell of, tagged, cached and compressed.
//!
//! They stay compressed; a client that does not take gzip has its document unpacked while it waits.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, EXPIRES, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use parking_lot::Mutex;
use wherry_schema::openapi;

use crate::aggregate::Aggregated;
use crate::custom::Documents;
use crate::error::Failure;
use crate::request::negotiate::{accepts_gzip, media_types};
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
    if !media_types(headers).into_iter().any(is_json) {
        return Ok(plain(StatusCode::NOT_ACCEPTABLE, ""));
    }
    let mut response = serve((tag, "application/json"), gzip, headers)?;
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
    protobuf: &Protobuf,
) -> Result<Response, Failure> {
    let Some(form) = media_types(headers).into_iter().find_map(Form::of) else {
        return Ok(plain(StatusCode::NOT_ACCEPTABLE, ""));
    };
    let builtin = || (openapi::swagger().hash, Bytes::from_static(openapi::swagger().gzip));
    let (tag, gzip) = custom.swagger().unwrap_or_else(builtin);
    let merged = aggregated.documents.swagger(&aggregated.remotes(), (tag, &gzip));
    let (tag, gzip) = merged.unwrap_or_else(|| (tag.to_owned(), gzip));
    let mut response = match form {
        Form::Json => serve((&tag, "application/json"), gzip, headers)?,
        Form::Protobuf => {
            let (tag, gzip) = protobuf.of(&tag, &gzip);
            serve((&tag, PROTOBUF_ANSWER), gzip, headers)?
        }
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// The media type of answers in protobuf. Clients write it with `@` in place of the dot before the version.
const PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A form of the document of version 2.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Protobuf,
}

impl Form {
    fn of(media: &str) -> Option<Self> {
        if is_json(media) {
            return Some(Self::Json);
        }
        let version_2 = media.strip_prefix("application/com.github.proto-openapi.spec.v2");
        version_2.filter(|rest| matches!(*rest, "@v1.0+protobuf" | ".v1.0+protobuf")).map(|_| Self::Protobuf)
    }
}

fn is_json(media: &str) -> bool {
    matches!(media, "application/json" | "application/*" | "*/*")
}

/// The document in protobuf, made when somebody asks for it and kept until it is another.
#[derive(Default)]
pub(crate) struct Protobuf(Mutex<Option<(String, Bytes)>>);

impl Protobuf {
    /// The tag and the gzipped form of the document in JSON that has this tag.
    fn of(&self, tag: &str, gzip: &Bytes) -> (String, Bytes) {
        let tag = format!("{tag}-protobuf");
        let mut made = self.0.lock();
        if let Some(same) = made.as_ref().filter(|(known, _)| *known == tag) {
            return same.clone();
        }
        let packed = openapi::custom::pack(&openapi::protobuf::document(&openapi::unpack(gzip)));
        made.insert((tag, packed.into())).clone()
    }
}

fn serve((tag, media): (&str, &'static str), gzip: Bytes, headers: &HeaderMap) -> Result<Response, Failure> {
    let mut response = tagged(headers, tag)?;
    let parts = response.headers_mut();
    parts.insert(CONTENT_TYPE, HeaderValue::from_static(media));
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
