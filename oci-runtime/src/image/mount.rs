//! Shows unpacked layers as one directory.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, mount};

/// The kernel wants two layers at least, so there is always this one, an empty directory beside those of layers.
const EMPTY: &str = "../empty";

/// Mounts the layers, lowest first, that are below the directory `home`.
///
/// The kernel takes one page of options, so the layers are named as seen from `home`, by a thread that goes there
/// alone.
pub(super) fn layers(home: &Path, layers: &[PathBuf], target: &Path) -> io::Result<()> {
    fs::create_dir_all(home.join(EMPTY))?;
    let below = |path: &Path| path.strip_prefix(home).unwrap_or(path).display().to_string();
    let mut lower: Vec<String> = layers.iter().rev().map(|layer| below(layer)).collect();
    lower.push(EMPTY.to_owned());
    let options = CString::new(format!("lowerdir={}", lower.join(":")))?;
    let (home, target) = (home.to_owned(), fs::canonicalize(target)?);
    let work = move || -> io::Result<()> {
        unshare(CloneFlags::CLONE_FS)?;
        rustix::process::chdir(&home)?;
        let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        Ok(mount("overlay", &target, "overlay", flags, options.as_c_str())?)
    };
    let thread = std::thread::Builder::new().name("wherry-mount".to_owned()).spawn(work)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread died")))
}
