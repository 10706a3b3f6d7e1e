//! gRPC as far as plugins need it: calls with one answer or a stream of them, over one HTTP/2 connection each.
//!
//! Reading order: [`call`], [`stream`] (asking), [`serve`] (answering), `frame` (messages on the wire).

mod client;
mod frame;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Messages, ask, call, stream};
pub use prost::Message;
pub use server::{Question, Reply, Service, serve};

use std::path::PathBuf;

/// No error.
const OK: u32 = 0;
/// The caller did something that cannot be.
pub const INVALID_ARGUMENT: u32 = 3;
/// There is no such thing.
pub const NOT_FOUND: u32 = 5;
/// The server cannot do that.
pub const UNIMPLEMENTED: u32 = 12;

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", name_of(*code))]
pub struct Status {
    /// One of gRPC's codes.
    pub code: u32,
    /// What went wrong.
    pub message: String,
}

impl Status {
    /// An error of this code.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens there.
    #[error("cannot connect to {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The connection broke off.
    #[error("the connection broke off")]
    Connection(#[source] hyper::Error),
    /// The path cannot be asked for.
    #[error("the call cannot be made")]
    Request(#[source] http::Error),
    /// The server speaks something else.
    #[error("unexpected HTTP status code {0}")]
    Http(u16),
    /// The server refused.
    #[error(transparent)]
    Status(#[from] Status),
    /// It did not say how the call ended.
    #[error("the answer has no grpc-status")]
    NoStatus,
    /// The answer cannot be read.
    #[error("the answer is not the message that was expected: {0}")]
    Message(&'static str),
}

impl CallError {
    /// What the server said, if it said something.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// The names that gRPC's own libraries print.
fn name_of(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("Unknown")
}
