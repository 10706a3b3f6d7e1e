//! What exists: the state of containers as their runtime sees it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exit_reason::ExitReason;
use crate::spec::ContainerId;

/// One container known to a runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Which container.
    pub id: ContainerId,
    /// What it is doing.
    pub state: ContainerState,
    /// Digest of the image content it was created from.
    pub image_digest: String,
    /// Who its program runs as at first, in runtimes that know users.
    pub user: Option<User>,
}

/// Who a program runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups, the primary one first.
    pub groups: Vec<u32>,
}

/// The life of a container.
///
/// ```text
/// Created --start--> Running --exit, stop, failure--> Exited --remove--> (gone)
///    \---------------stop / failed start---------------^
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerState {
    /// Set up, not started.
    Created,
    /// Its program runs (for wasi:http: its listener accepts connections).
    Running {
        /// When it was started.
        started_at: Timestamp,
    },
    /// Its program ended.
    Exited {
        /// When it was started; `None` if it never ran.
        started_at: Option<Timestamp>,
        /// When it ended.
        finished_at: Timestamp,
        /// The exit code; 128 + the signal if a signal ended it.
        code: i32,
        /// Why it ended.
        reason: ExitReason,
        /// A sentence for a person, empty if there is nothing to say.
        message: String,
    },
}
