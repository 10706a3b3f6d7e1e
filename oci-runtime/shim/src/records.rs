//! What a shim leaves on disk for the agent: that the program runs, and how it ended.
//!
//! Files are replaced by a rename, so a reader sees the old one or the new one.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use wherry_runtime_api::ExitReason;

use crate::file_error::{FileError, failed};
use crate::json::quoted;

/// The program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Running {
    /// The container's first process, a child of the shim.
    pub pid: i32,
    /// When it was started.
    pub started_at: Timestamp,
}

/// The program ended, or never began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Exit {
    /// When it was started; `None` if it never ran.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The exit code, 128 + signal for a signal.
    pub code: i32,
    /// Why it ended.
    pub reason: ExitReason,
    /// A sentence for a person.
    pub message: String,
}

impl Running {
    /// Where it is written, in a container's directory.
    pub fn file(directory: &Path) -> PathBuf {
        directory.join("running.json")
    }

    /// Writes it.
    pub fn write(&self, directory: &Path) -> Result<(), FileError> {
        replace(&Self::file(directory), &self.json())
    }

    fn json(&self) -> String {
        format!(r#"{{"pid":{},"started_at":"{}"}}"#, self.pid, self.started_at)
    }
}

impl Exit {
    /// Where it is written, in a container's directory.
    pub fn file(directory: &Path) -> PathBuf {
        directory.join("exit.json")
    }

    /// Writes it.
    pub fn write(&self, directory: &Path) -> Result<(), FileError> {
        replace(&Self::file(directory), &self.json())
    }

    fn json(&self) -> String {
        let started = self.started_at.map_or_else(|| "null".to_owned(), |time| format!("\"{time}\""));
        format!(
            r#"{{"started_at":{started},"finished_at":"{}","code":{},"reason":"{}","message":{}}}"#,
            self.finished_at,
            self.code,
            self.reason.as_str(),
            quoted(&self.message)
        )
    }
}

fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("write", path))
}
