//! What is kept on disk of each attachment, so that it can be undone by whoever comes next, whatever is configured by then.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::attachment::Attachment;
use crate::config::NetworkList;

/// An attachment that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The plugins that made it.
    pub(crate) list: NetworkList,
    /// What they were told.
    pub(crate) attachment: Attachment,
    /// What they answered; none while they may have done only a part.
    pub(crate) result: Option<Value>,
}

/// What is kept cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}", path.display())]
pub struct KeptError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A directory with a file for each attachment.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(PathBuf);

impl Keeper {
    pub(crate) fn open(directory: PathBuf) -> Result<Self, KeptError> {
        fs::create_dir_all(&directory).map_err(failed("make", &directory))?;
        Ok(Self(directory))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    pub(crate) fn get(&self, id: &str) -> Result<Option<Kept>, KeptError> {
        let path = self.path(id);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| failed("read", &path)(error.into()))
    }

    /// All or nothing of it is there afterwards.
    pub(crate) fn put(&self, kept: &Kept) -> Result<(), KeptError> {
        let path = self.path(&kept.attachment.container_id);
        let write = || {
            let mut file = NamedTempFile::with_prefix_in(".", &self.0)?;
            file.write_all(&serde_json::to_vec(kept)?)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(failed("write", &path))
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), KeptError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// The ids of all there are.
    pub(crate) fn list(&self) -> Result<Vec<String>, KeptError> {
        let entries = fs::read_dir(&self.0).map_err(failed("list", &self.0))?.flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeptError + use<> {
    let path = path.to_owned();
    move |source| KeptError { step, path, source }
}
