//! Namespaces that are mounted at files, where they stay without processes and are found by name.

use std::fs::File;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};

use crate::file_error::{FileError, failed};

/// Mounts a namespace at a file.
pub fn pin(namespace: &Path, place: &Path) -> Result<(), FileError> {
    File::create(place).map_err(failed("create", place))?;
    mount(Some(namespace), place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(failed("mount a namespace at", place))
}

/// Puts this thread into a namespace that is mounted at a file.
pub fn enter(namespace: &Path, kind: CloneFlags) -> Result<(), FileError> {
    let file = File::open(namespace).map_err(failed("open", namespace))?;
    setns(file, kind).map_err(failed("enter the namespace", namespace))
}
