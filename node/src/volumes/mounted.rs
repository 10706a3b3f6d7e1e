//! What is mounted where, and how it is unmounted.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change};
use wherry_runtime_api::mounts;

use super::WriteError;

/// Whether another file system begins at the directory.
pub(super) fn is_other_file_system(dir: &Path) -> bool {
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|meta| meta.dev()).ok();
    let parent = dir.parent().and_then(device);
    parent.is_some() && device(dir).is_some_and(|own| Some(own) != parent)
}

/// Unmounts all that is mounted at the path, one over the other. Containers that have it keep it.
pub(super) fn unmount(path: &Path) -> Result<(), WriteError> {
    loop {
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there, or nothing is there; and who may not unmount has mounted nothing.
            Err(Errno::INVAL | Errno::NOENT | Errno::PERM) => return Ok(()),
            Err(errno) => {
                let (action, path) = ("unmount", path.to_owned());
                return Err(WriteError::Io { action, path, source: errno.into() });
            }
        }
    }
}

/// Unmounts all that is mounted below the directory, also what containers mounted in volumes that they share with the node.
///
/// What is mounted may be a part of the node's own file systems, with mounts of its own: nothing of it is unmounted where else it is seen.
pub(super) fn unmount_below(dir: &Path) -> Result<(), WriteError> {
    let failed = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| WriteError::Io { action, path, source }
    };
    let dir = match std::fs::canonicalize(dir) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("find", dir)(error)),
    };
    let below = || -> Result<Vec<PathBuf>, WriteError> {
        let all = mounts::list().map_err(failed("list the mounts below", &dir))?.into_iter();
        Ok(all.map(|mount| mount.path).filter(|path| *path != dir && path.starts_with(&dir)).collect())
    };
    let found = below()?;
    for path in &found {
        mount_change(path, MountPropagationFlags::PRIVATE)
            .map_err(|errno| failed("keep from others the mount", path)(errno.into()))?;
    }
    for path in found.iter().rev() {
        unmount(path)?;
    }
    // Whoever removes the directory next would remove what is mounted there.
    match below()?.first() {
        Some(path) => Err(failed("unmount", path)(Errno::BUSY.into())),
        None => Ok(()),
    }
}
