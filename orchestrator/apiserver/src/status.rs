//! The one place where failures become HTTP: every [`Failure`] as the `Status` object, reason and code that
//! Kubernetes clients expect.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use wherry_schema::Value;

use crate::error::Failure;
use crate::object::Fields;
use crate::validation::Cause;

/// A `Status` object, keys in the order Kubernetes writes them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata,
    #[serde(rename = "status")]
    outcome: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "is_zero")]
    code: u16,
}

#[derive(Debug, Default, Serialize)]
struct Metadata {
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    continue_token: Option<String>,
}

/// What the failure, or the success, was about.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<StatusCause>,
    #[serde(skip_serializing_if = "is_zero")]
    retry_after_seconds: u16,
}

#[derive(Debug, Default, Serialize)]
struct StatusCause {
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: Cow<'static, str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

impl From<&Cause> for StatusCause {
    fn from(cause: &Cause) -> Self {
        Self { reason: cause.reason.into(), message: cause.message.clone(), field: cause.field.clone() }
    }
}

impl From<&Value> for Details {
    fn from(value: &Value) -> Self {
        let text = |of: &Value, path: &str| of.text(path).to_owned();
        let cause = |cause: &Value| StatusCause {
            reason: text(cause, "reason").into(),
            message: text(cause, "message"),
            field: text(cause, "field"),
        };
        Self {
            uid: text(value, "uid"),
            causes: value.items("causes").iter().map(cause).collect(),
            retry_after_seconds: value
                .int("retryAfterSeconds")
                .and_then(|s| u16::try_from(s).ok())
                .unwrap_or(0),
            ..about(value.text("group"), value.text("kind"), value.text("name"))
        }
    }
}

impl Status {
    /// The answer to a request that did what was asked.
    pub(crate) fn success(details: Option<Details>, code: u16) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: Metadata::default(),
            outcome: "Success",
            message: String::new(),
            reason: "".into(),
            details,
            code,
        }
    }

    /// The answer to a request that failed.
    pub(crate) fn failure(failure: &Failure) -> Self {
        let (code, reason) = code_and_reason(failure);
        let continue_token = match failure {
            Failure::Expired { continue_token, .. } => continue_token.clone(),
            _ => None,
        };
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: Metadata { continue_token },
            outcome: "Failure",
            message: failure.to_string(),
            reason: match failure {
                Failure::Told(told) => told.reason.clone().into(),
                _ => reason.into(),
            },
            details: details(failure),
            code,
        }
    }

    /// The object as JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a Status has only string keys")
    }
}

fn code_and_reason(failure: &Failure) -> (u16, &'static str) {
    match failure {
        Failure::Unauthorized => (401, "Unauthorized"),
        Failure::Forbidden { .. } => (403, "Forbidden"),
        Failure::Refused(refused) => (refused.code, refused.reason),
        Failure::NoSuchResource | Failure::NoSuchPath | Failure::NotFound { .. } => (404, "NotFound"),
        Failure::MethodNotAllowed | Failure::NotWhileTerminating { .. } => (405, "MethodNotAllowed"),
        Failure::NotAcceptable(_) | Failure::NoSuchRepresentation | Failure::NoSuchStream => {
            (406, "NotAcceptable")
        }
        Failure::AlreadyExists { .. } => (409, "AlreadyExists"),
        Failure::Conflict { .. } | Failure::ApplyConflict { .. } => (409, "Conflict"),
        Failure::Expired { .. } => (410, "Expired"),
        Failure::TooLarge { .. } => (413, "RequestEntityTooLarge"),
        Failure::UnknownFormat | Failure::UnsupportedBody(_) | Failure::UnsupportedPatch(_) => {
            (415, "UnsupportedMediaType")
        }
        Failure::Invalid(_) | Failure::Unprocessable(_) => (422, "Invalid"),
        Failure::BadRequest(_) => (400, "BadRequest"),
        Failure::Unversioned(_) => (500, ""),
        Failure::Told(told) => (told.code, ""),
        Failure::Internal(_) | Failure::Broken(_) => (500, "InternalError"),
        Failure::Unavailable(_) | Failure::Unreachable(_) => (503, "ServiceUnavailable"),
        Failure::TooLargeVersion { .. } => (504, "Timeout"),
    }
}

/// Details that name an object.
pub(crate) fn about(group: &str, kind: &str, name: &str) -> Details {
    Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), ..Details::default() }
}

fn details(failure: &Failure) -> Option<Details> {
    match failure {
        Failure::NotFound { kind, name } | Failure::AlreadyExists { kind, name, .. } => {
            Some(about(kind.group, kind.plural, name))
        }
        Failure::Conflict { group, resource, name, .. } => Some(about(group, resource, name)),
        Failure::Forbidden { group, resource, name, causes, .. } => Some(Details {
            causes: causes.iter().map(StatusCause::from).collect(),
            ..about(group, resource, name)
        }),
        Failure::Refused(refused) => Some(Details {
            causes: refused.causes.iter().map(StatusCause::from).collect(),
            ..about(&refused.group, &refused.resource, &refused.name)
        }),
        Failure::ApplyConflict { causes, .. } => {
            Some(Details { causes: causes.iter().map(StatusCause::from).collect(), ..Details::default() })
        }
        Failure::Invalid(invalid) => Some(Details {
            causes: invalid.errors.causes().iter().map(StatusCause::from).collect(),
            ..about(&invalid.group, &invalid.kind, &invalid.name)
        }),
        Failure::TooLargeVersion { .. } => Some(Details {
            causes: vec![StatusCause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".to_owned(),
                field: String::new(),
            }],
            retry_after_seconds: 1,
            ..Details::default()
        }),
        Failure::Told(told) => told.details.as_ref().map(Details::from),
        Failure::Internal(cause) => Some(Details {
            causes: vec![StatusCause { message: cause.clone(), ..StatusCause::default() }],
            ..Details::default()
        }),
        Failure::Unavailable(_) => Some(Details { retry_after_seconds: 1, ..Details::default() }),
        Failure::NotWhileTerminating { kind, .. } => Some(about(kind.group, kind.plural, "")),
        Failure::NoSuchResource
        | Failure::MethodNotAllowed
        | Failure::NotAcceptable(_)
        | Failure::UnsupportedPatch(_)
        | Failure::Unprocessable(_) => Some(Details::default()),
        Failure::Unauthorized
        | Failure::NoSuchPath
        | Failure::BadRequest(_)
        | Failure::UnknownFormat
        | Failure::UnsupportedBody(_)
        | Failure::NoSuchRepresentation
        | Failure::NoSuchStream
        | Failure::TooLarge { .. }
        | Failure::Expired { .. }
        | Failure::Unreachable(_)
        | Failure::Unversioned(_)
        | Failure::Broken(_) => None,
    }
}

/// The HTTP answer of a failed request.
pub(crate) fn response(failure: &Failure, yaml: bool) -> Response {
    if matches!(failure, Failure::NoSuchPath) {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if matches!(failure, Failure::Broken(_)) {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{failure}\n"));
    }
    let status = Status::failure(failure);
    let retry = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = crate::respond::json(code, status.to_json().into(), yaml);
    if retry > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    response
}

/// A text answer.
pub(crate) fn plain(code: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
