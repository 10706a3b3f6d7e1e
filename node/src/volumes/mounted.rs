//! What is mounted where, and how it is unmounted.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

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
