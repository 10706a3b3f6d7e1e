//! What exists: the state of containers as their runtime sees it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

/// Why a container ended, in the words of kubelet's `terminated.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    /// Exit code 0.
    Completed,
    /// Another exit code, or a wasm trap.
    Error,
    /// The memory limit was exceeded.
    OOMKilled,
    /// It could not be started.
    StartError,
}

impl ExitReason {
    /// The word kubelet uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::OOMKilled => "OOMKilled",
            Self::StartError => "StartError",
        }
    }
}
