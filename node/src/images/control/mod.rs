//! Images that people have removed: asked for at a socket of the agent, who alone knows what is in use.
//!
//! ```text
//! DATA_DIR/node/images.sock    a line of JSON each way, one question a connection; only its owner may connect
//! ```

mod client;
mod server;

use serde::{Deserialize, Serialize};

pub use client::ControlError;
pub(super) use client::ask;
pub(crate) use server::serve;

/// The socket's name in the node's directory.
const SOCKET: &str = "images.sock";
/// The longest line.
const MAX_LINE: u64 = 4 << 20;

/// What is wanted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Question {
    /// This image gone, pinned ones if that is said.
    Remove {
        /// Its name or its digest.
        image: String,
        /// Whether it may be pinned.
        force: bool,
    },
    /// All images gone that nothing uses and that need not stay.
    Prune,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reply {
    /// These images are gone.
    Removed(Vec<RemovedImage>),
    /// Nothing was done.
    Refused(String),
}

/// An image that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedImage {
    /// The names it had.
    pub names: Vec<String>,
    /// Bytes that are free again: what no other image needs.
    pub freed: u64,
}
