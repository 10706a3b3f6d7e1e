//! What can go wrong, by the call that reports it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::{Entry, Revision};

/// Why the store could not be opened. The file is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it open.
    #[error("the store {} is in use by another process; stop it, or use another data directory", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later version.
    #[error("the store {} has format {found} and this program knows up to {supported}; use the version that wrote it, or a newer one", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The version found in it.
        found: u64,
        /// The newest version known here.
        supported: u64,
    },
    /// It is some other file.
    #[error("{} is not a Wherry store ({problem}); move it away or use another data directory", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        problem: String,
    },
    /// It is damaged.
    #[error("the store {} is damaged: {problem}; restore it from a backup, or move it away to start empty", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is damaged.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {step} the store {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: StorageFailure,
    },
}

/// Why a transaction was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TxnError {
    /// A precondition did not hold. Nothing was changed.
    #[error("the precondition on {key} does not hold")]
    Conflict {
        /// The key of the first precondition that failed.
        key: String,
        /// What is there.
        found: Option<Arc<Entry>>,
    },
    /// It cannot be carried out in any state. Nothing was changed.
    #[error("key {key:?} {problem}")]
    Invalid {
        /// The key of the operation at fault.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store is closed. If it closed while the transaction was under way, whether it happened is unknown.
    #[error("the store is closed")]
    Closed,
    /// The disk failed; whether the transaction is on it is unknown. The store refuses writes until it is reopened,
    /// and goes on serving what was acknowledged before.
    #[error("the store cannot write to its file")]
    Io(#[source] StorageFailure),
}

/// Why a watch or a list at an older revision is impossible, or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The events after the revision asked for are no longer there, or the revision itself was lost in a crash.
    #[error("the history starts at revision {oldest}")]
    Compacted {
        /// The oldest revision that can be asked for.
        oldest: Revision,
    },
    /// The revision has not happened yet.
    #[error("the revision is ahead of the current one, {current}")]
    Future {
        /// The last revision.
        current: Revision,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The history could not be read.
    #[error("cannot read the history from the store's file: {0}")]
    Storage(String),
}

/// Why a compaction was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompactError {
    /// The revision has not happened yet.
    #[error("cannot compact to a revision ahead of the current one, {current}")]
    Future {
        /// The last revision.
        current: Revision,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The disk failed.
    #[error("the store cannot write to its file")]
    Io(#[source] StorageFailure),
}

/// A failure of the file below the store; cheap to clone, because one failed commit answers many transactions.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageFailure {
    /// The database reported it.
    #[error("{0}")]
    Database(Arc<redb::Error>),
    /// The operating system reported it.
    #[error("{0}")]
    Os(Arc<std::io::Error>),
    /// A row is not what the format says.
    #[error("{0}")]
    Row(Arc<str>),
}

impl StorageFailure {
    pub(crate) fn database(error: impl Into<redb::Error>) -> Self {
        Self::Database(Arc::new(error.into()))
    }
}
