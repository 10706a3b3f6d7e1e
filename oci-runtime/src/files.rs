//! Small files on disk: read and written whole, as JSON.
//!
//! A file is replaced by a rename, so a reader sees the old one or the new one. Nothing is synced: after a
//! power loss no container runs any more, and a record that does not parse counts as absent.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wherry_runtime_api::RuntimeError;
use wherry_shim::FileError;

/// Makes the error of a failed file operation.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RuntimeError + use<> {
    let path = path.to_path_buf();
    move |source| RuntimeError::Io { action, path, source }
}

/// What failed in the code shared with the shim, in the words of the contract.
pub(crate) fn io_error(error: FileError) -> RuntimeError {
    RuntimeError::Io { action: error.action, path: error.path, source: error.source }
}

/// Creates a directory with its parents.
pub(crate) fn create_dir(path: &Path) -> Result<(), RuntimeError> {
    fs::create_dir_all(path).map_err(failed("create directory", path))
}

/// Removes a directory tree; one that is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), RuntimeError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Replaces the file at `path` in one step.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RuntimeError> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::from).map_err(failed("write", path))?;
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("write", path))
}

/// Reads a file written by [`write_json`]; `None` if there is none, or none that is whole.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RuntimeError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_a_torn_file_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read_json::<u32>(&path).unwrap(), None);
        write_json(&path, &7).unwrap();
        assert_eq!(read_json(&path).unwrap(), Some(7));
        fs::write(&path, "").unwrap();
        assert_eq!(read_json::<u32>(&path).unwrap(), None);
    }
}
