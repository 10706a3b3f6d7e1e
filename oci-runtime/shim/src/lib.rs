//! What the agent and its shims say to each other. The program that shims run is `main.rs`.
//!
//! A shim is a process per container, so its program has no more than it needs: no async runtime, no parser of documents. It is told
//! by its arguments what to do ([`task`]), answers by small files and packets ([`records`], [`reports`]), and knows as much of
//! [`cgroup`]s and [`namespaces`] as it takes to hold a container and to end it.
//!
//! # Guarantees
//! - Shims of an older program go on under a newer agent: what they write keeps its form, and what an agent asks of a shim that
//!   runs ([`reports::Attach`]) keeps its form, too.

pub mod cgroup;
mod file_error;
mod json;
pub mod namespaces;
pub mod records;
pub mod reports;
pub mod task;

pub use file_error::FileError;

/// How much is kept of what the OCI runtime said about something it could not do; the end says most.
const MAX_MESSAGE: usize = 2048;

/// The exit code of a container that could not be started, as containerd has it.
pub const START_ERROR_CODE: i32 = 128;

/// The end of a text that is too long to pass on.
pub fn tail(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[text.len().saturating_sub(MAX_MESSAGE)..]).trim().to_owned()
}
