//! The file of the configuration, read again when it has changed.
//!
//! Nobody watches the file. Whoever is about to be judged by the configuration looks first whether the file is still the
//! one that was read, at most once a second: a server that nobody asks does nothing, and no request is judged by what
//! was replaced more than a second ago.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;

use super::Authentication;

/// What tells apart the versions of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    modified: (i64, i64),
    inode: u64,
    size: u64,
}

/// When the file was looked at last, and what it was then.
#[derive(Debug, Default)]
pub(super) struct Checked {
    second: Option<i64>,
    version: Option<Version>,
}

impl Version {
    /// The version that is there; none if there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self { modified: (found.mtime(), found.mtime_nsec()), inode: found.ino(), size: found.size() })
    }
}

impl Checked {
    /// A version that was read before anybody asked.
    pub(super) fn first(version: Option<Version>) -> Self {
        Self { second: None, version }
    }

    /// Whether the file has changed, if it has not been looked at in this second.
    fn is_due(&mut self, path: &Path, now: Timestamp) -> bool {
        if self.second == Some(now.as_second()) {
            return false;
        }
        self.second = Some(now.as_second());
        let found = Version::of(path);
        // A file that is being replaced is not there for a moment.
        let changed = found.is_some() && found != self.version;
        if changed {
            self.version = found;
        }
        changed
    }
}

impl Authentication {
    /// Reads the file again if it has changed.
    pub(crate) fn refresh(&self, now: Timestamp) {
        let Some(path) = &self.0.options.file else { return };
        // Whoever finds somebody else looking need not wait for what that one finds.
        let Some(mut checked) = self.0.checked.try_lock() else { return };
        if !checked.is_due(path, now) {
            return;
        }
        let outcome = self.0.load();
        let mut reloads = self.0.reloads.lock();
        reloads.last[usize::from(outcome.is_err())] = Some(now.as_second());
        match outcome {
            Ok(()) => {
                reloads.succeeded += 1;
                tracing::info!(file = %path.display(), "the authentication configuration was read again");
            }
            Err(error) => {
                reloads.failed += 1;
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "the authentication configuration has not changed: its file cannot be used"
                );
            }
        }
    }
}
