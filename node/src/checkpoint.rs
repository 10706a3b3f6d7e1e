//! Files of JSON that outlive the agent: written whole or not at all.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::volumes::WriteError;

/// What the file holds; without a file, what there is before anything was written.
pub(crate) fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, WriteError> {
    let failed = |source| WriteError::Io { action: "read", path: path.to_owned(), source };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(failed(error)),
    }
}

/// Has the file, in a directory that is made where it is missing, hold this.
pub(crate) fn write<T: Serialize>(path: &Path, content: &T) -> Result<(), WriteError> {
    let failed = |source| WriteError::Io { action: "write", path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(failed)?;
    let text = serde_json::to_vec(content).map_err(|error| failed(error.into()))?;
    let file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    fs::write(file.path(), text).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
