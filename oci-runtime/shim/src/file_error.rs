//! A file operation that failed.

use std::io;
use std::path::{Path, PathBuf};

/// What was done to which file, and what the kernel said.
#[derive(Debug)]
pub struct FileError {
    /// What was being done: `read`, `create cgroup`.
    pub action: &'static str,
    /// To what.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// Makes the error of a failed file operation.
pub(crate) fn failed<E: Into<io::Error>>(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> FileError + use<E> {
    let path = path.to_path_buf();
    move |source| FileError { action, path, source: source.into() }
}

/// In words, for a log.
impl From<FileError> for String {
    fn from(error: FileError) -> Self {
        format!("cannot {} {}: {}", error.action, error.path.display(), error.source)
    }
}
