//! Why containers end.

/// Why a container ended, in the words of kubelet's `terminated.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "contract", derive(serde::Serialize, serde::Deserialize))]
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
