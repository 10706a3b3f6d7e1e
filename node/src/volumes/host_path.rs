//! Paths of the node as volumes.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::VolumeError;
use super::atomic;

/// The path, if it is what `kind` says; `DirectoryOrCreate` and `FileOrCreate` make it.
pub(super) fn check(path: &Path, kind: &str) -> Result<PathBuf, VolumeError> {
    match kind {
        "DirectoryOrCreate" | "" if !path.exists() => atomic::create_dir(path, 0o755)?,
        "FileOrCreate" if !path.exists() => atomic::create_file(path)?,
        // Without a type nothing is checked; runtimes need an existing path, so a missing one becomes a directory.
        _ => {}
    }
    let kind_of = fs::metadata(path).map(|meta| meta.file_type());
    let fits = |test: fn(&fs::FileType) -> bool| kind_of.as_ref().is_ok_and(test);
    let fits = match kind {
        "" => kind_of.is_ok(),
        "Directory" | "DirectoryOrCreate" => fits(fs::FileType::is_dir),
        "File" | "FileOrCreate" => fits(fs::FileType::is_file),
        "Socket" => fits(FileTypeExt::is_socket),
        "CharDevice" => fits(FileTypeExt::is_char_device),
        "BlockDevice" => fits(FileTypeExt::is_block_device),
        _ => false,
    };
    if fits {
        return Ok(path.to_owned());
    }
    let expected = kind.strip_suffix("OrCreate").unwrap_or(kind).to_lowercase();
    Err(VolumeError::HostPathType { path: path.to_owned(), expected })
}
