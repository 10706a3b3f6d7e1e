//! Memory-backed volumes.

use std::ffi::CString;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use rustix::mount::{MountFlags, UnmountFlags};

use super::VolumeError;

/// Mounts a tmpfs of at most `limit` at the directory, unless there is one.
pub(super) fn mount(dir: &Path, limit: Option<&Quantity>) -> Result<(), VolumeError> {
    if is_mount_point(dir) {
        return Ok(());
    }
    let mut options = "mode=0777".to_owned();
    if let Some(limit) = limit {
        let parsed: wherry_api::quantity::Quantity =
            limit.0.parse().map_err(|_| VolumeError::SizeLimit(limit.0.clone()))?;
        if parsed.value() > 0 {
            write!(options, ",size={}", parsed.value()).expect("writing to a String cannot fail");
        }
    }
    let options = CString::new(options).map_err(|_| VolumeError::SizeLimit(String::new()))?;
    rustix::mount::mount("tmpfs", dir, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, &*options)
        .map_err(|errno| VolumeError::Tmpfs { path: dir.to_owned(), source: errno.into() })
}

/// Unmounts what is mounted at the directory.
pub(super) fn unmount(dir: &Path) {
    if is_mount_point(dir)
        && let Err(error) = rustix::mount::unmount(dir, UnmountFlags::DETACH)
    {
        tracing::warn!(path = %dir.display(), error = %error, "cannot unmount a volume");
    }
}

fn is_mount_point(dir: &Path) -> bool {
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|meta| meta.dev()).ok();
    let parent = dir.parent().and_then(device);
    parent.is_some() && device(dir).is_some_and(|own| Some(own) != parent)
}
