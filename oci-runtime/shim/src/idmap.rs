//! Directories and files shown as if they belonged to a pod's users.
//!
//! The OCI runtime need not know how: it is given mounts that are mapped already. What containers write there is on the disk as if
//! the node's own users had written it.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::libc;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::Failure;

/// Copies what is mounted at `source`, with all below it, as it is seen by the users of a namespace.
pub(super) fn mapped(source: &Path, namespace: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let shown = source.display();
    let copied =
        open_tree(CWD, source, flags).map_err(|error| format!("cannot copy the mount {shown}: {error}"))?;
    map(copied.as_fd(), namespace).map_err(|error| explain(source, &error))?;
    Ok(copied)
}

fn explain(source: &Path, error: &io::Error) -> Failure {
    let source = source.display();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::INVAL) => format!(
            "the kernel cannot show {source} to the users of a pod, because its file system has no idmapped mounts: use another \
             volume or a newer kernel, or leave hostUsers out"
        ),
        Some(Errno::NOSYS) => {
            "the kernel has no idmapped mounts: users of pods' own need Linux 5.19".to_owned()
        }
        _ => format!("cannot show {source} to the users of a pod: {error}"),
    }
}

#[expect(unsafe_code, reason = "the call has no safe wrapper here")]
fn map(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let namespace = u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace,
    };
    // SAFETY: the kernel reads the attributes, which are as long as it is told, and changes nothing.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
