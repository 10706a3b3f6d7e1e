//! Finds and makes a `subPath` of a volume without ever leaving the volume.
//!
//! What lies in a volume is under the control of its containers, so a path through it is walked by the kernel with
//! `RESOLVE_BENEATH`: neither `..` nor a symbolic link can lead out. What was found is mounted in a directory that no
//! container sees, so that nobody can exchange it before the container has it.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, mkdirat, open, openat2};
use rustix::io::Errno;

use super::atomic::{self, WriteError};
use super::mounted;

/// Why a `subPath` cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubPathError {
    /// It leads out of its volume.
    #[error("subPath {0:?} must be relative and stay within its volume")]
    Outside(String),
    /// It cannot be opened or made.
    #[error("cannot prepare subPath {sub_path:?}")]
    Io {
        /// The path.
        sub_path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The place it is mounted at cannot be made.
    #[error(transparent)]
    Place(#[from] WriteError),
}

/// Where the parts of one pod's volumes are mounted: `DIR/VOLUME/CONTAINER/N`, `N` being the number of the mount.
#[derive(Clone, Debug)]
pub(crate) struct SubPaths {
    dir: PathBuf,
}

impl SubPaths {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// A path of the node that is `sub_path` of the volume and stays so, whatever containers do in the volume.
    ///
    /// # Caveats
    /// Who may not mount gets the path in the volume itself. So does a file that is to be linked, because nothing can
    /// be linked across mounts.
    pub(super) fn prepare(
        &self,
        volume: (&str, &Path),
        sub_path: &str,
        mount: (&str, usize),
        is_linked: bool,
    ) -> Result<PathBuf, SubPathError> {
        let failed = |source| SubPathError::Io { sub_path: sub_path.to_owned(), source };
        let found = find(volume.1, sub_path)?;
        let source = format!("/proc/self/fd/{}", found.as_raw_fd());
        let is_dir = is_directory(&found).map_err(|errno| failed(errno.into()))?;
        let in_volume = || std::fs::read_link(&source).map_err(failed);
        if is_linked && !is_dir {
            return in_volume();
        }
        let place = self.dir.join(volume.0).join(mount.0).join(mount.1.to_string());
        mounted::unmount(&place)?;
        make_place(&place, is_dir)?;
        match rustix::mount::mount_bind(&source, &place) {
            Ok(()) => Ok(place),
            Err(Errno::PERM) => in_volume(),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Unmounts everything.
    pub(crate) fn tear_down(&self) -> Result<(), WriteError> {
        let entries = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
        let places = entries(self.dir.clone()).flat_map(entries).flat_map(entries);
        places.into_iter().try_for_each(|place| mounted::unmount(&place))
    }
}

/// Makes a directory or an empty file to mount over.
fn make_place(place: &Path, is_dir: bool) -> Result<(), WriteError> {
    let is_of_kind = |meta: std::fs::Metadata| meta.is_dir() == is_dir;
    if std::fs::symlink_metadata(place).is_ok_and(is_of_kind) {
        return Ok(());
    }
    // The volume may have changed since the attempt before: what was a file is a directory now, or the other way round.
    atomic::remove_place(place)?;
    if is_dir {
        return atomic::create_dir(place, 0o750);
    }
    if let Some(parent) = place.parent() {
        atomic::create_dir(parent, 0o750)?;
    }
    atomic::create_file(place)
}

fn is_directory(fd: &File) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Directory)
}

/// Opens `sub_path` in the volume; directories that are missing are made, as open to others as the volume is.
fn find(volume: &Path, sub_path: &str) -> Result<File, SubPathError> {
    let failed = |errno: Errno| match errno {
        Errno::XDEV | Errno::LOOP => SubPathError::Outside(sub_path.to_owned()),
        errno => SubPathError::Io { sub_path: sub_path.to_owned(), source: errno.into() },
    };
    let parts: Vec<&str> = sub_path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if sub_path.starts_with('/') || parts.contains(&"..") {
        return Err(SubPathError::Outside(sub_path.to_owned()));
    }
    let root = open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let mode = Mode::from_raw_mode(fstat(&root).map_err(failed)?.st_mode);
    let mut walked = PathBuf::new();
    let mut found = None;
    for part in parts {
        let parent = walked.clone();
        walked.push(part);
        found = Some(match beneath(&root, &walked, OFlags::PATH) {
            Err(Errno::NOENT) => {
                make_in(&root, &parent, part, mode).map_err(failed)?;
                beneath(&root, &walked, OFlags::PATH).map_err(failed)?
            }
            other => other.map_err(failed)?,
        });
    }
    Ok(File::from(found.unwrap_or(root)))
}

fn beneath(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn make_in(root: &OwnedFd, parent: &Path, name: &str, mode: Mode) -> Result<(), Errno> {
    let parent = beneath(root, parent, OFlags::PATH)?;
    match mkdirat(&parent, name, mode) {
        Err(Errno::EXIST) => return Ok(()),
        made => made?,
    }
    // The mode again, without the process's umask.
    fchmod(beneath(&parent, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY)?, mode)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rstest::rstest;

    use super::*;

    /// The path in the volume.
    fn prepare(volume: &Path, sub_path: &str) -> Result<PathBuf, SubPathError> {
        let found = find(volume, sub_path)?;
        Ok(std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).unwrap())
    }

    #[test]
    fn what_was_found_stays_though_a_container_exchanges_it() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, secret) = (dir.path().join("volume"), dir.path().join("secret"));
        std::fs::create_dir_all(volume.join("a")).unwrap();
        std::fs::create_dir(&secret).unwrap();
        std::fs::write(volume.join("a/own"), "x").unwrap();
        let sub_paths = SubPaths::new(dir.path().join("subpaths"));
        let prepare = |sub_path| sub_paths.prepare(("v", &volume), sub_path, ("main", 0), false);
        let place = prepare("a").unwrap();
        std::fs::rename(volume.join("a"), volume.join("b")).unwrap();
        symlink(&secret, volume.join("a")).unwrap();
        assert!(place.join("own").exists());
        // The next attempt at the container finds what is there then.
        assert!(matches!(prepare("a"), Err(SubPathError::Outside(_))));
        let place = prepare("b/own").unwrap();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "x");
        sub_paths.tear_down().unwrap();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "", "nothing is mounted any more");
        assert!(volume.join("b/own").exists());
    }

    #[test]
    fn what_is_made_is_as_open_as_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o2777)).unwrap();
        let made = prepare(dir.path(), "a/b").unwrap();
        assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o2777);
    }

    #[test]
    fn directories_are_made_and_links_within_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        assert_eq!(prepare(&root, "a/b").unwrap(), root.join("a/b"));
        std::fs::write(root.join("a/file"), "x").unwrap();
        symlink("a/file", root.join("link")).unwrap();
        assert_eq!(prepare(&root, "link").unwrap(), root.join("a/file"));
        assert_eq!(prepare(&root, ".").unwrap(), root);
    }

    #[rstest]
    #[case("../x")]
    #[case("/etc")]
    #[case("a/../../x")]
    #[case("out")]
    #[case("out/new")]
    #[case("up/x")]
    fn nothing_leads_out(#[case] sub_path: &str) {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        std::fs::create_dir_all(&volume).unwrap();
        symlink("/etc", volume.join("out")).unwrap();
        symlink("..", volume.join("up")).unwrap();
        let error = prepare(&volume, sub_path).unwrap_err();
        assert!(matches!(error, SubPathError::Outside(_)), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
