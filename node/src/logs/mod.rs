//! Container logs: where they are, how they are read, followed, bounded and served.
//!
//! Runtimes append records in the CRI format to `NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log`. Reading goes from the end
//! for a tail ([`tail`]); following waits for the file to grow ([`follow`]); [`trim`] keeps a file from filling the
//! disk; [`server`] answers kubectl, by way of the API server.

mod dir;
mod follow;
mod options;
mod server;
mod stream;
mod tail;
#[cfg(test)]
mod tests;
mod trim;

pub(crate) use dir::{LogDir, Prepared};
pub(crate) use server::ServerError;
pub(crate) use server::{LogServer, LogState};
pub(crate) use stream::last_lines;
pub(crate) use trim::trim_logs;
