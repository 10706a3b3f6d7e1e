//! What can go wrong with a request, as the layers below HTTP say it.
//!
//! A [`Failure`] carries facts; `status.rs` alone turns it into the `Status` object, reason and code that clients
//! read. Texts are those of Kubernetes, because clients and people match on them.

use wherry_api::kinds::Kind;
use wherry_store::{TxnError, WatchError};

use crate::validation::{Cause, Errors};

/// Why a request was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("Unauthorized")]
    Unauthorized,
    #[error("{message}")]
    Forbidden { message: String, group: String, resource: String, name: String, causes: Vec<Cause> },
    #[error("{}", .0.message)]
    Refused(Box<Refused>),
    #[error("the server could not find the requested resource")]
    NoSuchResource,
    #[error("404 page not found")]
    NoSuchPath,
    #[error("{} {name:?} not found", .kind.group_resource())]
    NotFound { kind: &'static Kind, name: String },
    #[error("{}{} {name:?} already exists", if *.terminating { "object is being deleted: " } else { "" }, .kind.group_resource())]
    AlreadyExists { kind: &'static Kind, name: String, terminating: bool },
    #[error("Operation cannot be fulfilled on {subject} {name:?}: {reason}")]
    Conflict { subject: String, group: String, resource: String, name: String, reason: String },
    #[error("{message}")]
    ApplyConflict { message: String, causes: Vec<Cause> },
    #[error("{}", .0.message())]
    Invalid(Box<Invalid>),
    #[error("{0}")]
    BadRequest(String),
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    #[error("{verb} not allowed while custom resource definition is terminating")]
    NotWhileTerminating { kind: &'static Kind, verb: &'static str },
    #[error(
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml, application/vnd.kubernetes.protobuf"
    )]
    UnknownFormat,
    #[error("{0}")]
    UnsupportedBody(String),
    #[error("{0}")]
    UnsupportedPatch(String),
    #[error("406: Not Acceptable\n\nAvailable representations: {0}")]
    NotAcceptable(&'static str),
    #[error(
        "only the following media types are accepted: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf"
    )]
    NoSuchRepresentation,
    #[error(
        "only the following media types are accepted: application/json;stream=watch, \
         application/vnd.kubernetes.protobuf;stream=watch"
    )]
    NoSuchStream,
    #[error("Request entity too large: limit is {limit}")]
    TooLarge { limit: usize },
    #[error("{message}")]
    Expired { message: String, continue_token: Option<String> },
    #[error("Timeout: Too large resource version: {requested}, current: {current}")]
    TooLargeVersion { requested: u64, current: u64 },
    #[error("{0}")]
    Unversioned(String),
    #[error("{0}")]
    Unprocessable(String),
    #[error("Internal error occurred: {0}")]
    Internal(String),
    #[error("Internal Server Error: {0}")]
    Broken(String),
    /// Another program refuses, in its own words.
    #[error("{}", .0.message)]
    Told(Box<Told>),
    #[error("{0}")]
    Unavailable(String),
    /// Whom a request was to be passed on to cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// That a policy of the users' own refuses something, under a code and reason that it chooses.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) code: u16,
    /// The machine-readable reason: `Invalid`.
    pub(crate) reason: &'static str,
    /// What the client is told.
    pub(crate) message: String,
    /// Group of the resource.
    pub(crate) group: String,
    /// The resource.
    pub(crate) resource: String,
    /// The object's name.
    pub(crate) name: String,
    /// One for each policy that refuses.
    pub(crate) causes: Vec<Cause>,
}

/// An object that breaks rules of its kind.
#[derive(Debug, Clone)]
pub(crate) struct Invalid {
    /// Group of the kind.
    pub(crate) group: String,
    /// The kind.
    pub(crate) kind: String,
    /// The object's name, possibly empty.
    pub(crate) name: String,
    /// The broken rules.
    pub(crate) errors: Errors,
}

/// What another program says of a request that it refuses.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The HTTP status.
    pub(crate) code: u16,
    /// The machine-readable reason, possibly empty.
    pub(crate) reason: String,
    /// The text.
    pub(crate) message: String,
    /// The details of its `Status`.
    pub(crate) details: Option<wherry_schema::Value>,
}

impl Invalid {
    fn message(&self) -> String {
        let subject =
            if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) };
        format!("{subject} {:?} is invalid: {}", self.name, self.errors)
    }
}

/// The text of a conflict that another writer caused.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Failure {
    /// An object of this kind breaks these rules. Events are called by their core name in either API.
    pub(crate) fn invalid(kind: &Kind, name: &str, errors: Errors) -> Self {
        let group = if (kind.group, kind.kind) == ("events.k8s.io", "Event") { "" } else { kind.group };
        Self::invalid_named(group, kind.kind, name, errors)
    }

    /// An object of a kind outside the table (options, scale) breaks these rules.
    pub(crate) fn invalid_named(group: &str, kind: &str, name: &str, errors: Errors) -> Self {
        Self::Invalid(Box::new(Invalid {
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            errors,
        }))
    }

    /// Another writer was faster.
    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(kind, name, MODIFIED.to_owned())
    }

    /// A conflict of the resource, as updates report it.
    pub(crate) fn conflict(kind: &Kind, name: &str, reason: String) -> Self {
        Self::Conflict {
            subject: kind.group_resource(),
            group: kind.group.to_owned(),
            resource: kind.plural.to_owned(),
            name: name.to_owned(),
            reason,
        }
    }

    /// A failed precondition, which names the kind where every other error names the resource.
    pub(crate) fn precondition(kind: &Kind, name: &str, reason: String) -> Self {
        let group = if (kind.group, kind.kind) == ("events.k8s.io", "Event") { "" } else { kind.group };
        Self::Conflict {
            subject: if group.is_empty() { kind.kind.to_owned() } else { format!("{}.{group}", kind.kind) },
            group: group.to_owned(),
            resource: kind.kind.to_owned(),
            name: name.to_owned(),
            reason,
        }
    }

    /// Admission refuses the object.
    pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        Self::Forbidden {
            message: format!("{} {name:?} is forbidden: {why}", kind.group_resource()),
            group: kind.group.to_owned(),
            resource: kind.plural.to_owned(),
            name: name.to_owned(),
            causes: Vec::new(),
        }
    }

    /// The bytes in the store are not what this server writes.
    pub(crate) fn corrupt(key: &str, why: &dyn std::fmt::Display) -> Self {
        Self::Internal(format!("stored object {key} cannot be read: {why}"))
    }
}

impl From<TxnError> for Failure {
    fn from(error: TxnError) -> Self {
        match error {
            TxnError::Closed => Self::Unavailable("the server is shutting down".to_owned()),
            other => Self::Internal(other.to_string()),
        }
    }
}

/// A read or watch at a revision the store cannot serve.
pub(crate) fn unreadable(error: &WatchError, requested: u64) -> Failure {
    match error {
        WatchError::Future { current } => Failure::TooLargeVersion { requested, current: *current },
        WatchError::Compacted { oldest } => Failure::Expired {
            message: format!("too old resource version: {requested} ({oldest})"),
            continue_token: None,
        },
        other => Failure::Internal(other.to_string()),
    }
}
