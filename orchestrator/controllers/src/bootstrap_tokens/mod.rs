//! Bootstrap tokens: Secrets `kube-system/bootstrap-token-ID`, by which machines get into the cluster.
//!
//! [`cleaner`] deletes them when they expire. [`signer`] signs the public `cluster-info` with each of them, so that a
//! machine that knows the token only can tell whether what it read is the cluster's.

mod cleaner;
mod signer;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

pub(crate) use cleaner::CleanerController;
pub(crate) use signer::SignerController;

/// How the names of the Secrets begin.
const PREFIX: &str = "bootstrap-token-";

/// A text that a Secret holds; empty if it has none of that name.
fn text<'s>(secret: &'s Secret, name: &str) -> &'s str {
    let found = secret.data.as_ref().and_then(|data| data.get(name));
    found.and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).unwrap_or_default()
}

/// When a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Never,
    At(Timestamp),
    /// What it says is no time, so that it does not count.
    Unknown,
}

fn end(secret: &Secret) -> End {
    match text(secret, "expiration") {
        "" => End::Never,
        at => at.parse().map_or(End::Unknown, End::At),
    }
}
