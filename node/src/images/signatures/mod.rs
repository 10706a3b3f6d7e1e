//! Which images may run by whom they are signed, as containers' `policy.json` says it and cosign signs.
//!
//! ```json
//! {
//!   "default": [{ "type": "reject" }],
//!   "transports": { "docker": {
//!     "registry.example/team": [{ "type": "sigstoreSigned", "keyPath": "/etc/wherry/team.pub",
//!                                 "signedIdentity": { "type": "matchRepository" } }],
//!     "docker.io/library": [{ "type": "insecureAcceptAnything" }]
//!   } }
//! }
//! ```
//! Reading order: `key` (who signs), `payload` (what is signed), `identity` (whether that is the image which is wanted), `policy`
//! (which of it an image needs), `fetch` (where registries keep signatures).
//!
//! # Guarantees
//! - What signs an image is kept with it, and looked at again whenever a container is to start: a policy counts for images that
//!   were here before it, and needs no registry.
//! - A policy that is not understood in full is refused.

mod fetch;
mod identity;
mod key;
mod payload;
mod policy;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(super) use fetch::{MAX_PAYLOAD, MAX_SIGNATURES, SIGNATURE, fetch, is_signatures};
pub use key::{KeyError, PublicKey};
pub(super) use payload::Payload;
pub(crate) use policy::Rejected;
pub use policy::{SignaturePolicy, SignaturePolicyError};

/// A signature of an image as cosign keeps it; whether it is good is another matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signature {
    /// The document that was signed: which image, and what it is called.
    pub(crate) payload: String,
    /// What was made of it, in base64.
    pub(crate) signature: String,
}

/// What there is to show by whom an image is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// The digest of its manifest, where an index led there.
    #[serde(default)]
    pub(crate) manifest: Option<String>,
    /// The signatures.
    #[serde(default)]
    pub(crate) signatures: Vec<Signature>,
}

impl Evidence {
    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
