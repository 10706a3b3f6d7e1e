//! Volumes of huge pages.

use std::ffi::CString;
use std::path::Path;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};
use rustix::mount::MountFlags;

use super::VolumeError;
use super::mounted::is_other_file_system;
use super::tmpfs::bytes;
use crate::huge_pages::{amount, page_size};

/// Mounts pages of the size that is asked for at the directory, unless that was done. How many there may be, the control groups of
/// the pod say; a `sizeLimit` counts beside.
pub(super) fn mount(dir: &Path, source: &EmptyDirVolumeSource, pod: &Pod) -> Result<(), VolumeError> {
    let size = page_size(source.medium.as_deref().unwrap_or_default(), pod)?;
    let limit = source.size_limit.as_ref().map_or(Ok(None), |limit| bytes(&limit.0))?;
    if is_other_file_system(dir) {
        return Ok(());
    }
    let failed =
        |source| VolumeError::HugePages { size: amount(size).to_string(), path: dir.to_owned(), source };
    let options = CString::new(options(size, limit)).map_err(|error| failed(error.into()))?;
    rustix::mount::mount("nodev", dir, "hugetlbfs", MountFlags::NODEV | MountFlags::NOSUID, &*options)
        .map_err(|errno| failed(errno.into()))
}

/// The kernel rounds the limit down to whole pages, and a limit of none to nothing.
fn options(page: u64, limit: Option<u64>) -> String {
    let limit = limit.and_then(|limit| limit.checked_next_multiple_of(page));
    let limit = limit.map(|limit| format!(",size={limit}")).unwrap_or_default();
    format!("pagesize={page},mode=0777{limit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_sizes_in_bytes_and_whole_pages() {
        assert_eq!(options(2 << 20, None), "pagesize=2097152,mode=0777");
        assert_eq!(options(2 << 20, Some(1)), "pagesize=2097152,mode=0777,size=2097152");
        assert_eq!(options(2 << 20, Some(4 << 20)), "pagesize=2097152,mode=0777,size=4194304");
    }
}
