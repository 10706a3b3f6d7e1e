//! Making a new file: under another name, complete and synced, then renamed. So a file under the store's name is always
//! whole, and a half-made one from a crash is only ever found, and made anew, under the other name.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::Database;

use super::{builder, load, open_error};
use crate::error::{OpenError, StorageFailure};
use crate::options::Options;

/// Makes the file and answers it open, unless somebody else just did.
pub(super) fn create(path: &Path, options: &Options) -> Result<Option<Database>, OpenError> {
    let failed = |error| io_error(path, error);
    let unfinished = unfinished_path(path);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&unfinished)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if path.exists() {
        return Ok(None);
    }
    file.set_len(0).map_err(failed)?;
    // From here redb holds a lock of its own on the file, whatever its name.
    let database = builder(options).create_file(file).map_err(|error| open_error(path, error))?;
    load::create(&database).map_err(|error| error.at(path))?;
    std::fs::rename(&unfinished, path).map_err(failed)?;
    sync_parent(path).map_err(failed)?;
    Ok(Some(database))
}

fn unfinished_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

/// A new name is only safe when its directory is.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn io_error(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), step: "create", source: StorageFailure::Os(Arc::new(error)) }
}
