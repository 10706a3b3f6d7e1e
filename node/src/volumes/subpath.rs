//! Finds and makes a `subPath` of a volume without ever leaving the volume.
//!
//! What lies in a volume is under the control of its containers, so a path through it is walked by the kernel with
//! `RESOLVE_BENEATH`: neither `..` nor a symbolic link can lead out.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2};
use rustix::io::Errno;

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
}

const DIRECTORY_MODE: u32 = 0o750;

/// The real path of `sub_path` in the volume; directories that are missing are made.
pub(crate) fn prepare(volume: &Path, sub_path: &str) -> Result<PathBuf, SubPathError> {
    let failed = |errno: Errno| match errno {
        Errno::XDEV | Errno::LOOP => SubPathError::Outside(sub_path.to_owned()),
        errno => SubPathError::Io { sub_path: sub_path.to_owned(), source: errno.into() },
    };
    let parts: Vec<&str> = sub_path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if sub_path.starts_with('/') || parts.contains(&"..") {
        return Err(SubPathError::Outside(sub_path.to_owned()));
    }
    let root = open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let mut walked = PathBuf::new();
    let mut found = None;
    for part in parts {
        let parent = walked.clone();
        walked.push(part);
        found = Some(match beneath(&root, &walked) {
            Err(Errno::NOENT) => {
                make_in(&root, &parent, part).map_err(failed)?;
                beneath(&root, &walked).map_err(failed)?
            }
            other => other.map_err(failed)?,
        });
    }
    let target = File::from(found.unwrap_or(root));
    std::fs::read_link(format!("/proc/self/fd/{}", target.as_raw_fd()))
        .map_err(|source| SubPathError::Io { sub_path: sub_path.to_owned(), source })
}

fn beneath(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags)
}

fn make_in(root: &OwnedFd, parent: &Path, name: &str) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(DIRECTORY_MODE);
    let made = if parent.as_os_str().is_empty() {
        mkdirat(root, name, mode)
    } else {
        mkdirat(&beneath(root, parent)?, name, mode)
    };
    match made {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;

    use super::*;

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
