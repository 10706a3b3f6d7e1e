//! Answers: JSON bytes with their headers, or the same as YAML.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WARNING};
use http::{HeaderValue, StatusCode};

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

/// JSON as YAML with sorted keys; none if it is no JSON.
fn to_yaml(json: &[u8]) -> Option<Bytes> {
    let value = wherry_schema::Value::from_json(json).ok()?;
    serde_saphyr::to_string(&value).ok().map(Bytes::from)
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
