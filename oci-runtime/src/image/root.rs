//! File operations that cannot leave a directory, whatever links lie in it.
//!
//! Every path is taken relative to the root; the kernel resolves it (`openat2` with `RESOLVE_IN_ROOT`), so that
//! `..` and absolute links end at the root. A path is opened up to its parent and the last name is used as it
//! stands, never followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

/// A directory that is the root of a tree.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

/// An open directory below a root and a name in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) parent: OwnedFd,
    pub(crate) name: Vec<u8>,
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?))
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    /// Opens something existing, following links within the root.
    pub(crate) fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// Reads a file of at most `limit` bytes; `None` if it is absent, not a file or larger.
    pub(crate) fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Ok(fd) = self.resolve(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) else {
            return Ok(None);
        };
        let mut file = File::from(fd);
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > limit {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The place of `path`, whose parents are created where they are missing.
    pub(crate) fn place(&self, path: &Path) -> io::Result<Place> {
        let name = path.file_name().unwrap_or(OsStr::new(".")).as_bytes().to_vec();
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok(Place { parent: self.directory(parent)?, name })
    }

    /// Opens a directory, creating it and its parents where they are missing.
    fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match self.resolve(path, DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        let place = self.place(path)?;
        match rustix::fs::mkdirat(&place.parent, place.name.as_slice(), Mode::from(0o755)) {
            Err(error) if error != Errno::EXIST => return Err(error.into()),
            _ => {}
        }
        // The mode again, without the process's umask.
        let created = self.resolve(path, DIRECTORY)?;
        rustix::fs::fchmod(&created, Mode::from(0o755))?;
        Ok(created)
    }
}

impl Place {
    /// What is there, not following a link; `None` if nothing is.
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.parent, self.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is there, with everything below it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let Some(stat) = self.stat()? else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return std::fs::remove_dir_all(self.path());
        }
        Ok(rustix::fs::unlinkat(&self.parent, self.name.as_slice(), AtFlags::empty())?)
    }

    /// Opens what is there with `flags`, refusing a link.
    pub(crate) fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.parent, self.name.as_slice(), flags, Mode::from(0o600))?)
    }

    /// A path by way of the open parent, for calls that take no directory handle.
    pub(crate) fn path(&self) -> PathBuf {
        let parent = format!("/proc/self/fd/{}", self.parent.as_fd().as_raw_fd());
        Path::new(&parent).join(OsStr::from_bytes(&self.name))
    }
}
