//! Mounts that the shim makes before the OCI runtime does, from copies of the node's.
//!
//! The shim leaves the node's mounts before it starts the container, so that the node sees nothing of the root file system. A copy of a mount
//! that is made before that stays a peer of the node's, wherever it is put afterwards: so the container and the node see each other's mounts in
//! it. Copies are also what can be shown as if it belonged to a pod's users. From where they are put the OCI runtime binds them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use wherry_runtime_api::mounts;
use wherry_shim::task::{Bind, Container, Mapping};

use crate::Failure;
use crate::idmap::mapped;

/// Copies that are nowhere yet, and where each is to be.
pub(super) struct Copies(Vec<(OwnedFd, PathBuf)>);

impl Copies {
    /// Copies what the container needs; to be called among the node's mounts.
    pub(super) fn of(container: &Container) -> Result<Self, Failure> {
        let mut copies = Self(Vec::new());
        for bind in &container.shared {
            copies.add(shared(&bind.source)?, bind)?;
        }
        if let Some(users) = &container.users {
            copies.map(container, users)?;
        }
        Ok(copies)
    }

    fn map(&mut self, container: &Container, users: &Mapping) -> Result<(), Failure> {
        let namespace = File::open(&users.namespace)
            .map_err(|error| format!("cannot open the namespace {}: {error}", users.namespace.display()))?;
        let layers = (0..container.layers).map(|index| Bind {
            source: container.dir.join(layer(index)),
            place: container.dir.join(mapped_layer(index)),
        });
        for bind in layers.chain(container.mapped.iter().cloned()) {
            self.add(mapped(&bind.source, namespace.as_fd())?, &bind)?;
        }
        Ok(())
    }

    fn add(&mut self, copied: OwnedFd, bind: &Bind) -> Result<(), Failure> {
        make_place(&bind.place, &bind.source)
            .map_err(|error| format!("cannot create {}: {error}", bind.place.display()))?;
        self.0.push((copied, bind.place.clone()));
        Ok(())
    }

    /// Puts them where they are looked for; to be called among the container's mounts.
    pub(super) fn place(self) -> Result<(), Failure> {
        for (copied, place) in self.0 {
            move_mount(&copied, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(|error| format!("cannot mount at {}: {error}", place.display()))?;
        }
        Ok(())
    }
}

/// Where a layer of the image is, below the container's directory.
pub(super) fn layer(index: usize) -> String {
    format!("l{index}")
}

/// Where it is shown as if it belonged to the pod's users.
pub(super) fn mapped_layer(index: usize) -> String {
    format!("layers/{index}")
}

/// A copy that stays a peer of what is mounted at `source`.
fn shared(source: &Path) -> Result<OwnedFd, Failure> {
    check(source)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, source, flags)
        .map_err(|error| format!("cannot share the mount {}: {error}", source.display()))
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
