//! Mounts that the node does not see.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};

use crate::Failure;

/// Runs `work` in a mount namespace that ends with the call: what `work` started keeps its own copy.
pub(super) fn within_own_mounts<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let told = |step: &'static str| move |error: io::Error| format!("cannot {step}: {error}");
    let home = File::open("/proc/self/ns/mnt").map_err(told("open the mount namespace"))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(io::Error::from).map_err(told("create a mount namespace"))?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).map_err(io::Error::from).map_err(told("make mounts private"))?;
    let done = work();
    setns(home.as_fd(), CloneFlags::CLONE_NEWNS)
        .map_err(io::Error::from)
        .map_err(told("return to the mount namespace"))?;
    done
}
