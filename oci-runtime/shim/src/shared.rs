//! Volumes in which the container and the node see each other's mounts.
//!
//! The shim leaves the node's mounts before it starts the container, so that the node sees nothing of the root file system. A copy of a mount
//! that is made before that stays a peer of the node's, wherever it is put afterwards; from there the OCI runtime binds it.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use wherry_runtime_api::mounts;
use wherry_shim::task::Shared;

use crate::Failure;

/// Copies of such volumes that are nowhere yet, and where each is to be.
pub(super) struct Copies<'s>(Vec<(OwnedFd, &'s Shared)>);

impl<'s> Copies<'s> {
    /// Copies the volumes; to be called among the node's mounts.
    pub(super) fn of(volumes: &'s [Shared]) -> Result<Self, Failure> {
        let copy = |shared: &'s Shared| -> Result<_, Failure> {
            let source = shared.source.as_path();
            check(source)?;
            let told = |error: io::Error| format!("cannot share the mount {}: {error}", source.display());
            make_place(&shared.place, source).map_err(told)?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let copied = open_tree(CWD, source, flags).map_err(|error| told(error.into()))?;
            Ok((copied, shared))
        };
        Ok(Self(volumes.iter().map(copy).collect::<Result<_, _>>()?))
    }

    /// Puts them where the OCI runtime looks for them; to be called among the container's mounts.
    pub(super) fn place(self) -> Result<(), Failure> {
        for (copied, Shared { place, .. }) in self.0 {
            move_mount(&copied, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(|error| format!("cannot mount at {}: {error}", place.display()))?;
        }
        Ok(())
    }
}

/// Mounts reach others only where the node shares them.
fn check(source: &Path) -> Result<(), Failure> {
    let told = |error: io::Error| format!("cannot tell the mount of {}: {error}", source.display());
    let source = fs::canonicalize(source).map_err(told)?;
    let all = mounts::list().map_err(told)?;
    match mounts::of(&all, &source) {
        Some(mount) if mount.is_shared => Ok(()),
        mount => {
            let at = mount.map_or(Path::new("/"), |mount| &mount.path);
            let (source, at) = (source.display(), at.display());
            Err(format!(
                "path {source} is mounted on {at}, which is not a shared mount: mount --make-shared {at} on the node, or do without \
                 mountPropagation Bidirectional"
            ))
        }
    }
}

fn make_place(place: &Path, source: &Path) -> io::Result<()> {
    if fs::metadata(source)?.is_dir() {
        return fs::create_dir_all(place);
    }
    place.parent().map_or(Ok(()), fs::create_dir_all)?;
    File::create(place).map(drop)
}
