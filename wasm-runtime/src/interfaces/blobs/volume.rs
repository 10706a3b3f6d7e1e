//! Containers as directories of a volume, and objects as their files.
//!
//! # Guarantees
//! - An object is there whole or not at all: it is written elsewhere in the volume (`.wherry-blobs`), made durable, and takes its place by one rename. What was
//!   not finished when the agent was killed is removed when the volume is next opened.
//! - Nothing leads out of the volume: names have no separators, and a link, pipe or device that others put in an object's place is not opened.
//! - One agent has a volume at a time.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, StatxFlags, flock, fstat, fsync, mkdirat, openat,
    renameat, statx, unlinkat,
};
use rustix::io::Errno;

use super::names::{file_name, name_of};

/// Where objects are written before they are in their place.
const STAGING: &str = ".wherry-blobs";
/// Names of one answer.
const PAGE: usize = 1000;
const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The containers of a volume.
#[derive(Debug)]
pub(crate) struct Blobs {
    volume: OwnedFd,
    staging: OwnedFd,
    next: AtomicU64,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobsError {
    /// A file operation failed.
    #[error("cannot keep blobs in {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Somebody else has it.
    #[error("the blobs of {} are in use by another process", .0.display())]
    InUse(PathBuf),
}

/// An object by its names.
#[derive(Clone, Debug)]
pub(super) struct Id {
    pub(super) container: String,
    pub(super) object: String,
}

/// How large something is, and when it was made, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) size: u64,
    pub(super) created: u64,
}

/// An object that is being written; it is gone when dropped.
#[derive(Debug)]
pub(super) struct Staged {
    blobs: Arc<Blobs>,
    name: String,
    pub(super) file: File,
}

type Result<T> = std::result::Result<T, String>;

impl Blobs {
    /// Those of a volume.
    pub(crate) fn open(path: &Path) -> std::result::Result<Self, BlobsError> {
        let failed = |source: io::Error| BlobsError::Io { path: path.to_owned(), source };
        let volume: OwnedFd = File::open(path).map_err(failed)?.into();
        made(mkdirat(&volume, STAGING, Mode::RWXU)).map_err(failed)?;
        let staging =
            openat(&volume, STAGING, DIRECTORY, Mode::empty()).map_err(|error| failed(error.into()))?;
        if flock(&staging, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(BlobsError::InUse(path.to_owned()));
        }
        let blobs = Self { volume, staging, next: AtomicU64::new(0) };
        blobs.remove_unfinished().map_err(failed)?;
        Ok(blobs)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.staging)? {
            let entry = entry?;
            if entry.file_name().to_bytes().first() != Some(&b'.') {
                unlinkat(&self.staging, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    pub(super) fn create(&self, name: &str) -> Result<()> {
        let file = file_name(name)?;
        mkdirat(&self.volume, &file, Mode::RWXU).map_err(|error| match error {
            Errno::EXIST => format!("the container {name:?} is there already"),
            error => told("create the container", name, error),
        })?;
        fsync(&self.volume).map_err(|error| told("create the container", name, error))
    }

    /// The directory of a container.
    pub(super) fn container(&self, name: &str) -> Result<OwnedFd> {
        self.find(name)?.ok_or_else(|| format!("there is no container {name:?}"))
    }

    /// The same if there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<OwnedFd>> {
        match openat(&self.volume, file_name(name)?, DIRECTORY, Mode::empty()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(told("open the container", name, error)),
        }
    }

    pub(super) fn clear(&self, name: &str) -> Result<()> {
        let directory = self.container(name)?;
        let mut listing = Listing::of(&directory)?;
        loop {
            let (names, ended) = listing.read(u64::MAX)?;
            for object in names {
                remove(&directory, &object)?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        self.clear(name)?;
        unlinkat(&self.volume, file_name(name)?, AtFlags::REMOVEDIR)
            .and_then(|()| fsync(&self.volume))
            .map_err(|error| told("delete the container", name, error))
    }

    /// A place for an object that is to be written.
    pub(super) fn stage(self: &Arc<Self>) -> io::Result<Staged> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.staging, &name, new, Mode::RUSR | Mode::WUSR)?.into();
        Ok(Staged { blobs: Arc::clone(self), name, file })
    }

    /// An object, and what there is to say about it.
    pub(super) fn object(&self, id: &Id) -> Result<(File, About)> {
        let directory = self.container(&id.container)?;
        let missing = || format!("there is no object {:?} in the container {:?}", id.object, id.container);
        let file = file_name(&id.object)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let found = openat(&directory, file, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::LOOP | Errno::NXIO => missing(),
            error => told("open the object", &id.object, error),
        })?;
        if !is_file(&found).map_err(|error| told("open the object", &id.object, error))? {
            return Err(missing());
        }
        let about = about(&found)?;
        Ok((found.into(), about))
    }

    pub(super) fn has(&self, id: &Id) -> Result<bool> {
        let directory = self.container(&id.container)?;
        match rustix::fs::statat(&directory, file_name(&id.object)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(told("look for the object", &id.object, error)),
        }
    }

    pub(super) fn copy(self: &Arc<Self>, from: &Id, to: &Id) -> Result<()> {
        let (mut source, _) = self.object(from)?;
        let failed = |error: io::Error| format!("cannot copy the object {:?}: {error}", from.object);
        let mut staged = self.stage().map_err(failed)?;
        io::copy(&mut source, &mut staged.file).map_err(failed)?;
        staged.finish(to)
    }

    pub(super) fn rename(&self, from: &Id, to: &Id) -> Result<()> {
        self.object(from)?;
        let (source, target) = (self.container(&from.container)?, self.container(&to.container)?);
        renameat(&source, file_name(&from.object)?, &target, file_name(&to.object)?)
            .and_then(|()| fsync(&target))
            .and_then(|()| fsync(&source))
            .map_err(|error| told("move the object", &from.object, error))
    }
}

impl Staged {
    /// Adds to it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Makes it durable, and has it take its place.
    pub(super) fn finish(self, id: &Id) -> Result<()> {
        let directory = self.blobs.container(&id.container)?;
        self.file.sync_all().map_err(|error| format!("cannot write the object {:?}: {error}", id.object))?;
        renameat(&self.blobs.staging, &self.name, &directory, file_name(&id.object)?)
            .and_then(|()| fsync(&directory))
            .map_err(|error| told("write the object", &id.object, error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // It is not there any more if it took its place.
        let _ = unlinkat(&self.blobs.staging, &self.name, AtFlags::empty());
    }
}

/// Deletes an object of a container if there is one.
pub(super) fn remove(directory: impl AsFd, object: &str) -> Result<()> {
    match unlinkat(directory, file_name(object)?, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(told("delete the object", object, error)),
    }
}

/// The objects of a container, in no order.
pub(super) struct Listing {
    directory: Dir,
}

impl Listing {
    pub(super) fn of(directory: impl AsFd) -> Result<Self> {
        let directory =
            Dir::read_from(directory).map_err(|error| format!("cannot list a container: {error}"))?;
        Ok(Self { directory })
    }

    /// At most so many of the next names, and whether there are no more.
    pub(super) fn read(&mut self, count: u64) -> Result<(Vec<String>, bool)> {
        let (count, mut names) = (usize::try_from(count).unwrap_or(PAGE).min(PAGE), Vec::new());
        while names.len() < count {
            let Some(entry) = self.directory.next() else { return Ok((names, true)) };
            let entry = entry.map_err(|error| format!("cannot list a container: {error}"))?;
            let is_object = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
            names.extend(name_of(entry.file_name().to_bytes()).filter(|_| is_object));
        }
        Ok((names, false))
    }
}

/// What there is to say about an open file or directory.
pub(super) fn about(of: impl AsFd) -> Result<About> {
    let wanted = StatxFlags::SIZE | StatxFlags::MTIME | StatxFlags::BTIME;
    let found =
        statx(of, "", AtFlags::EMPTY_PATH, wanted).map_err(|error| format!("cannot look at it: {error}"))?;
    let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    let time = if has_birth { found.stx_btime } else { found.stx_mtime };
    Ok(About { size: found.stx_size, created: u64::try_from(time.tv_sec).unwrap_or(0) })
}

fn is_file(file: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode) == FileType::RegularFile)
}

fn made(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error != Errno::EXIST => Err(error.into()),
        _ => Ok(()),
    }
}

fn told(action: &str, name: &str, error: Errno) -> String {
    format!("cannot {action} {name:?}: {error}")
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
