//! Mounts as preopened directories.
//!
//! WASI opens directories only. A mounted file is therefore put into a staging directory of the container, as a hard
//! link or (read-only mounts) as a copy, and that directory is opened in place of the file's parent.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtx};
use wherry_runtime_api::Mount;

/// One directory a guest sees.
#[derive(Clone, Debug)]
pub(crate) struct Preopen {
    /// On the node.
    pub(crate) host_path: PathBuf,
    /// As the guest names it.
    pub(crate) guest_path: String,
    /// What the guest may do there.
    pub(crate) permissions: FsPerms,
}

/// The directories of a container. They are open while an instance has them, and then the same for all of its instances.
pub(crate) struct Directories {
    preopens: Vec<Preopen>,
    open: Mutex<Weak<WasiFilesystemCtx>>,
}

impl Directories {
    /// None is open yet.
    pub(crate) fn new(preopens: Vec<Preopen>) -> Self {
        Self { preopens, open: Mutex::default() }
    }

    /// What an instance holds as long as it lives, if there are any.
    pub(crate) fn open(&self) -> wasmtime::Result<Option<Arc<WasiFilesystemCtx>>> {
        if self.preopens.is_empty() {
            return Ok(None);
        }
        let mut open = self.open.lock();
        if let Some(open) = open.upgrade() {
            return Ok(Some(open));
        }
        let mut builder = WasiCtx::builder();
        for preopen in &self.preopens {
            builder.preopened_dir(&preopen.host_path, &preopen.guest_path, preopen.permissions)?;
        }
        let opened = Arc::new(builder.build().filesystem().clone());
        *open = Arc::downgrade(&opened);
        Ok(Some(opened))
    }
}

/// Why mounts cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// There is nothing to mount.
    #[error("mount {container_path}: cannot open {}: {source}", host_path.display())]
    Missing { container_path: String, host_path: PathBuf, source: io::Error },
    /// The path in the container is no absolute path.
    #[error("mount path {0:?} must be absolute and name a file or directory")]
    Path(String),
    /// Files in one directory differ in being writable.
    #[error("mounted files in {0} must be all read-only or all writable: wasm sees them as one directory")]
    Mixed(String),
    /// The file could not be put into the staging directory.
    #[error("mount {container_path}: cannot stage {}: {source}", host_path.display())]
    Stage { container_path: String, host_path: PathBuf, source: io::Error },
}

/// Opens every mount; files are staged below `staging`, which is made if there are any.
pub(crate) fn prepare(mounts: &[Mount], staging: &Path) -> Result<Vec<Preopen>, MountError> {
    let mut preopens = Vec::new();
    let mut files: BTreeMap<String, Vec<&Mount>> = BTreeMap::new();
    for mount in mounts {
        if !mount.container_path.starts_with('/') {
            return Err(MountError::Path(mount.container_path.clone()));
        }
        let metadata = fs::metadata(&mount.host_path).map_err(|source| MountError::Missing {
            container_path: mount.container_path.clone(),
            host_path: mount.host_path.clone(),
            source,
        })?;
        if metadata.is_dir() {
            preopens.push(Preopen {
                host_path: mount.host_path.clone(),
                guest_path: mount.container_path.clone(),
                permissions: permissions(mount.read_only),
            });
        } else {
            let (parent, _) = split(&mount.container_path)?;
            files.entry(parent.to_owned()).or_default().push(mount);
        }
    }
    for (place, (parent, mounts)) in files.into_iter().enumerate() {
        preopens.push(stage(&parent, &mounts, &staging.join(place.to_string()))?);
    }
    Ok(preopens)
}

/// The directory of the node that is mounted at `path`, for writing.
pub(crate) fn writable<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Path> {
    let is_it = |mounted: &str| mounted.trim_end_matches('/') == path.trim_end_matches('/');
    let found = mounts.iter().find(|mount| is_it(&mount.container_path) && !mount.read_only)?;
    found.host_path.is_dir().then_some(&found.host_path)
}

fn permissions(read_only: bool) -> FsPerms {
    if read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite }
}

/// Directory and file name of an absolute path.
fn split(path: &str) -> Result<(&str, &str), MountError> {
    let (parent, name) = path.rsplit_once('/').ok_or_else(|| MountError::Path(path.to_owned()))?;
    if matches!(name, "" | "." | "..") {
        return Err(MountError::Path(path.to_owned()));
    }
    Ok((if parent.is_empty() { "/" } else { parent }, name))
}

fn stage(parent: &str, mounts: &[&Mount], directory: &Path) -> Result<Preopen, MountError> {
    let read_only = mounts.iter().all(|mount| mount.read_only);
    if !read_only && mounts.iter().any(|mount| mount.read_only) {
        return Err(MountError::Mixed(parent.to_owned()));
    }
    for mount in mounts {
        let (_, name) = split(&mount.container_path)?;
        place(mount, &directory.join(name)).map_err(|source| MountError::Stage {
            container_path: mount.container_path.clone(),
            host_path: mount.host_path.clone(),
            source,
        })?;
    }
    Ok(Preopen {
        host_path: directory.to_owned(),
        guest_path: parent.to_owned(),
        permissions: permissions(read_only),
    })
}

fn place(mount: &Mount, staged: &Path) -> io::Result<()> {
    let source = fs::canonicalize(&mount.host_path)?;
    fs::create_dir_all(staged.parent().unwrap_or(staged))?;
    match fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::hard_link(&source, staged) {
        Err(_) if mount.read_only => fs::copy(&source, staged).map(|_| ()),
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(host_path: &Path, container_path: &str, read_only: bool) -> Mount {
        Mount::new(host_path, container_path, read_only)
    }

    #[test]
    fn files_of_one_directory_are_staged_together() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, "1").unwrap();
        fs::write(&two, "2").unwrap();
        let mounts = [mount(&one, "/etc/app/a.conf", true), mount(&two, "/etc/app/b.conf", true)];
        for _ in 0..2 {
            let preopens = prepare(&mounts, &dir.path().join("staging")).unwrap();
            assert_eq!(preopens.len(), 1);
            assert_eq!(preopens[0].guest_path, "/etc/app");
            assert_eq!(fs::read_to_string(preopens[0].host_path.join("a.conf")).unwrap(), "1");
            assert_eq!(fs::read_to_string(preopens[0].host_path.join("b.conf")).unwrap(), "2");
        }
    }

    #[test]
    fn directories_are_open_while_somebody_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let files = fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter_map(|file| fs::read_link(file.ok()?.path()).ok());
            files.filter(|file| file == dir.path()).count()
        };
        let mounts = [mount(dir.path(), "/data", true)];
        let directories = Directories::new(prepare(&mounts, &dir.path().join("staging")).unwrap());
        assert_eq!(open(), 0);
        let of_instance = || directories.open().unwrap().unwrap();
        let (one, other) = (of_instance(), of_instance());
        drop(one);
        assert_eq!(open(), 1);
        drop(other);
        assert_eq!(open(), 0);
        drop(of_instance());
        fs::remove_dir(dir.path()).unwrap();
        assert!(directories.open().is_err());
    }

    #[test]
    fn what_cannot_be_mounted_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = |mounts: &[Mount]| prepare(mounts, &dir.path().join("s")).unwrap_err().to_string();
        assert!(error(&[mount(&dir.path().join("none"), "/a", true)]).starts_with("mount /a: cannot open"));
        assert!(error(&[mount(&file, "etc/a", true)]).contains("must be absolute"));
        assert!(error(&[mount(&file, "/etc/..", true)]).contains("must be absolute and name a file"));
        let mixed = error(&[mount(&file, "/etc/a", true), mount(&file, "/etc/b", false)]);
        assert!(mixed.contains("all read-only or all writable"), "{mixed}");
    }
}
