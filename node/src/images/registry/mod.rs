//! Registries as a client speaks to them: the OCI distribution specification, and who may ask.
//!
//! ```text
//! client: a request -> 401 with a challenge -> the account, or a token that it is given for -> the request again
//! ```
//!
//! Reading order: `account` (as whom), `challenge` (what a registry wants to see), `client`.

mod account;
mod challenge;
mod client;

use http::StatusCode;

pub(crate) use account::Account;
pub(super) use client::{Client, Document};

/// Why a registry gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// It cannot be spoken to, or went away.
    #[error("cannot ask the registry")]
    Request(#[from] reqwest::Error),
    /// It refuses.
    #[error("unexpected status from {method} request to {url}: {status}{said}")]
    Status {
        /// What was asked.
        method: http::Method,
        /// Of what.
        url: String,
        /// What it answered.
        status: StatusCode,
        /// Its words, if it has any, after a colon.
        said: String,
    },
    /// What it gives tokens out with is no such thing.
    #[error("cannot understand the answer of {url}, which gives tokens out")]
    Token {
        /// Where it is.
        url: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// There is more than anybody wants.
    #[error("a document is larger than {0} bytes")]
    TooLarge(u64),
    /// A registry takes an upload and does not say where.
    #[error("the registry does not say where the upload goes")]
    Upload,
}

impl RegistryError {
    /// Whether the registry has no such thing.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Status { status: StatusCode::NOT_FOUND, .. })
    }
}
