//! Answers: JSON bytes with their headers, or the same as YAML, with line breaks, or compressed.

use std::io::{Read, Write};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, IF_NONE_MATCH, VARY, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::proxy::Passed;
use crate::request::negotiate;
use crate::request::query::Query;

/// Answers of more than so many bytes are compressed for clients that can read it.
pub(crate) const LARGE: usize = 128 * 1024;

/// Names a request in the audit log and in the answer.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// A JSON answer; YAML if the client wants it so.
pub(crate) fn json(code: StatusCode, bytes: Bytes, yaml: bool) -> Response {
    let (bytes, media) = match yaml.then(|| to_yaml(&bytes)).flatten() {
        Some(text) => (text, "application/yaml"),
        None => (bytes, "application/json"),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A JSON answer of a body that may be compressed already.
pub(crate) fn whole(body: Body, gzip: bool) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if gzip {
        mark_compressed(headers);
    }
    response
}

/// JSON as YAML; none if it is no JSON.
fn to_yaml(json: &[u8]) -> Option<Bytes> {
    let value = wherry_schema::Value::from_json(json).ok()?;
    Some(Bytes::from(wherry_schema::yaml::to_yaml(&value)))
}

/// What a body that this server made says; none if it is no data.
pub(crate) fn value(headers: &HeaderMap, body: &[u8]) -> Option<wherry_schema::Value> {
    let mut plain = Vec::new();
    let body = if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip") {
        GzDecoder::new(body).read_to_end(&mut plain).ok()?;
        plain.as_slice()
    } else {
        body
    };
    let yaml = headers.get(CONTENT_TYPE).is_some_and(|media| media == "application/yaml");
    let format = if yaml { wherry_schema::Format::Yaml } else { wherry_schema::Format::Json };
    wherry_schema::decode::parse(body, format).ok()
}

/// The name that the client gave its request.
pub(crate) fn given_id(request: &HeaderMap) -> Option<&HeaderValue> {
    request.get(&AUDIT_ID).filter(|id| id.len() <= 64)
}

/// Adds what every answer carries: the request's name, and that only the client may keep the answer.
pub(crate) fn stamp(response: &mut Response, request: &HeaderMap, new_id: impl FnOnce() -> String) {
    let given = given_id(request).cloned();
    let headers = response.headers_mut();
    if let Some(mut id) = given.or_else(|| HeaderValue::try_from(new_id()).ok()) {
        // No other answer has it, so HTTP/2 must not drop a header from its table in favour of it.
        id.set_sensitive(true);
        headers.insert(AUDIT_ID, id);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
}

/// Whether the client has what this tag stands for already.
pub(crate) fn knows(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let Ok(tag) = tag.to_str() else { return false };
    given.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag)
}

/// Adds a `Warning` header for each text, which kubectl prints.
pub(crate) fn warn(response: &mut Response, warnings: &[String]) {
    for text in warnings {
        let quoted: String = text
            .chars()
            .flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// Gives an answer the form the client asked for, if it is there as a whole: line breaks, compression. What somebody
/// else answered stays as it is.
pub(crate) async fn finish(response: Response, headers: &HeaderMap, query: &Query) -> Response {
    if response.extensions().get::<Passed>().is_some() {
        return response;
    }
    let media = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let json = media == Some(b"application/json");
    let Some(size) = response.body().size_hint().exact() else { return response };
    if size == 0 || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let pretty = json && negotiate::pretty(headers, query);
    let data = json || media == Some(b"application/yaml");
    let gzip = data && usize::try_from(size).is_ok_and(|s| s > LARGE) && negotiate::accepts_gzip(headers);
    if !pretty && !gzip {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A body that is there as a whole cannot fail.
    let mut bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if pretty {
        bytes = indented(&bytes).into();
    }
    if gzip {
        bytes = compressed(bytes).await;
        mark_compressed(&mut parts.headers);
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Says that the body is compressed.
pub(crate) fn mark_compressed(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// The bytes in gzip, the fast way, made on a thread that may take its time.
pub(crate) async fn compressed(bytes: Bytes) -> Bytes {
    let compress = move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
        encoder.write_all(&bytes).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
    };
    tokio::task::spawn_blocking(compress).await.expect("compressing does not panic").into()
}

/// JSON with a line for each field and two spaces for each level.
fn indented(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 3 / 2);
    let (mut level, mut text, mut escaped) = (0, false, false);
    for (at, &byte) in json.iter().enumerate() {
        if text {
            out.push(byte);
            text = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        let before = at.checked_sub(1).map(|b| json[b]);
        let empty = matches!((before, byte), (Some(b'{'), b'}') | (Some(b'['), b']'));
        match byte {
            b'}' | b']' => {
                level -= 1;
                if !empty {
                    line(&mut out, level);
                }
            }
            _ if matches!(before, Some(b'{' | b'[' | b',')) => line(&mut out, level),
            _ => {}
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => level += 1,
            b':' => out.push(b' '),
            b'"' => text = true,
            _ => {}
        }
    }
    out
}

fn line(out: &mut Vec<u8>, level: usize) {
    out.push(b'\n');
    out.resize(out.len() + 2 * level, b' ');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::indented;

    #[test]
    fn every_field_gets_a_line() {
        let json = br#"{"a":{"b":[1,"x:{,"],"c":{},"d":[]},"e":"\"\\"}"#;
        let lines = "{\n  \"a\": {\n    \"b\": [\n      1,\n      \"x:{,\"\n    ],\n    \"c\": {},\n    \"d\": []\n  },\n  \"e\": \"\\\"\\\\\"\n}";
        assert_eq!(String::from_utf8(indented(json)).unwrap(), lines);
    }

    proptest! {
        #[test]
        fn line_breaks_change_nothing_else(texts in proptest::collection::vec("\\PC{0,8}", 0..5)) {
            let value = serde_json::json!({"texts": texts, "inner": {"more": [texts]}});
            let again = serde_json::from_slice::<serde_json::Value>(&indented(value.to_string().as_bytes()));
            prop_assert_eq!(again.unwrap(), value);
        }
    }
}
