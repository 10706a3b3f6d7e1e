//! The file. `docs/store-format.md` says what is in it; `load` reads all of it, `commit` appends, `replay` reads a part
//! of the history.
//!
//! Guarantees: a commit is all or nothing, and durable when it returns. Leaves to the writer: that there is one.

mod commit;
mod create;
mod load;
mod replay;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use redb::{Builder, Database, DatabaseError, StorageBackend, StorageError, TableDefinition};

use crate::error::{OpenError, StorageFailure};
use crate::options::Options;
use crate::seal::Sealer;

pub(crate) use commit::{Commit, Compaction, Reserve};
pub(crate) use load::Loaded;
pub(crate) use replay::Replay;

pub(crate) const FORMAT: u64 = 1;

const META: TableDefinition<&[u8], u64> = TableDefinition::new("meta");
const LOG: TableDefinition<&[u8], &[u8]> = TableDefinition::new("log");
const GAPS: TableDefinition<u64, u64> = TableDefinition::new("gaps");

const META_FORMAT: &[u8] = b"format";
const META_COMPACTED: &[u8] = b"compacted";
const META_RESERVED: &[u8] = b"reserved";

/// The open file.
pub(crate) struct Disk {
    path: PathBuf,
    seal: Sealer,
    /// `None` once closed. The write lock is taken for that only.
    database: RwLock<Option<Database>>,
}

impl Disk {
    /// Opens or creates the file and reads it.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<(Self, Loaded), OpenError> {
        contained(path, || {
            let created = if path.exists() { None } else { create::create(path, options)? };
            let database = match created {
                Some(database) => database,
                None => builder(options).open(path).map_err(|error| open_error(path, error))?,
            };
            Self::load(path, database, options)
        })
    }

    /// Opens what a backend holds; `name` stands for it in messages.
    pub(crate) fn open_on(
        name: &Path,
        backend: impl StorageBackend,
        options: &Options,
    ) -> Result<(Self, Loaded), OpenError> {
        contained(name, || {
            let database =
                builder(options).create_with_backend(backend).map_err(|error| open_error(name, error))?;
            Self::load(name, database, options)
        })
    }

    fn load(path: &Path, database: Database, options: &Options) -> Result<(Self, Loaded), OpenError> {
        let loaded = load::load(&database, options).map_err(|error| error.at(path))?;
        Ok((
            Self { path: path.to_owned(), seal: options.seal.clone(), database: RwLock::new(Some(database)) },
            loaded,
        ))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Releases the file. Readings of history that are under way fail.
    pub(crate) fn close(&self) {
        drop(self.database.write().take());
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Turns a panic into an error: redb has some for files whose pages contradict each other. Nothing that `open` touched
/// is used afterwards.
fn contained<T>(path: &Path, open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("for an unknown reason");
        Err(OpenError::Corrupt { path: path.to_owned(), problem: format!("reading it panicked: {message}") })
    })
}

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.page_cache_bytes);
    builder
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path },
        DatabaseError::Storage(StorageError::Corrupted(problem)) => OpenError::Corrupt { path, problem },
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            OpenError::NotAStore { path, problem: error.to_string() }
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            OpenError::Corrupt { path, problem: format!("it ends too early: {error}") }
        }
        DatabaseError::Storage(StorageError::Io(error)) => {
            OpenError::Io { path, step: "open", source: StorageFailure::Os(Arc::new(error)) }
        }
        other => OpenError::Io { path, step: "open", source: StorageFailure::database(other) },
    }
}

#[cfg(test)]
mod tests;
