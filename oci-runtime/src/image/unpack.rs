//! Unpacks a layer's tar stream into a directory that overlayfs takes as a layer.
//!
//! OCI whiteouts become overlayfs's: a removed name is a character device 0/0, a directory that hides what is
//! below it carries the extended attribute `trusted.overlay.opaque`. Nothing is written outside the directory
//! (see [`super::root`]); an entry that tries is an error, not a repair.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::EntryType;

use super::archive::{Archive, Entry};
use super::root::{Place, Root};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// Unpacks the tar stream of a layer into the existing, empty directory `target`, and nothing beside it.
pub fn unpack(stream: impl Read, target: &Path) -> io::Result<()> {
    let mut unpacker = Unpacker { root: Root::open(target)?, times: BTreeMap::new() };
    let mut archive = Archive::new(stream);
    while let Some(entry) = archive.next_entry()? {
        unpacker.apply(&entry, &mut archive).map_err(|error| {
            io::Error::new(error.kind(), format!("entry {:?}: {error}", String::from_utf8_lossy(&entry.path)))
        })?;
    }
    unpacker.finish()
}

struct Unpacker {
    root: Root,
    /// Modification times of directories, set at the end because filling a directory changes it.
    times: BTreeMap<PathBuf, (i64, i64)>,
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The path relative to the root; `None` is the root itself.
fn relative(path: &[u8]) -> io::Result<Option<PathBuf>> {
    if path.contains(&0) {
        return Err(invalid("the path contains a zero byte"));
    }
    let mut clean = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => return Err(invalid("the path contains \"..\" and could leave the root")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok((!clean.as_os_str().is_empty()).then_some(clean))
}

fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

impl Unpacker {
    fn apply(&mut self, entry: &Entry, data: &mut impl Read) -> io::Result<()> {
        let Some(path) = relative(&entry.path)? else {
            return self.root_entry(entry);
        };
        let place = self.root.place(&path).map_err(|error| match error.raw_os_error() {
            // A link to nowhere, a file or a loop of links where a directory is needed.
            _ if error.kind() == io::ErrorKind::NotFound => {
                invalid("its parent is a link that leads nowhere in the layer")
            }
            _ if error.kind() == io::ErrorKind::NotADirectory => invalid("its parent is not a directory"),
            _ => error,
        })?;
        if place.name == OPAQUE {
            return make_opaque(&place.parent);
        }
        if let Some(name) = place.name.strip_prefix(WHITEOUT) {
            if name.is_empty() || name == b"." || name == b".." || name.starts_with(WHITEOUT) {
                return Err(invalid("not a valid whiteout"));
            }
            return whiteout(&Place { name: name.to_vec(), parent: place.parent });
        }
        self.create(entry, &path, &place, data)
    }

    fn root_entry(&mut self, entry: &Entry) -> io::Result<()> {
        if entry.kind != EntryType::Directory {
            return Err(invalid("the root of a layer must be a directory"));
        }
        self.times.insert(PathBuf::from("."), entry.mtime);
        set_metadata(self.root.fd(), entry)
    }

    fn create(&mut self, entry: &Entry, path: &Path, place: &Place, data: &mut impl Read) -> io::Result<()> {
        let existing = place.stat()?;
        let hidden = existing.as_ref().is_some_and(is_whiteout);
        let directory = |mode| FileType::from_raw_mode(mode) == FileType::Directory;
        let keep =
            entry.kind == EntryType::Directory && existing.as_ref().is_some_and(|s| directory(s.st_mode));
        let name = place.name.as_slice();
        match entry.kind {
            // A hard link to itself must not remove what it links to.
            EntryType::Link => return self.hard_link(entry, place),
            _ if !keep => place.clear()?,
            _ => {}
        }
        match entry.kind {
            EntryType::Regular | EntryType::Continuous => return write_file(entry, place, data),
            EntryType::Directory => {
                if !keep {
                    rustix::fs::mkdirat(&place.parent, name, Mode::from(0o755))?;
                }
                let created = place.open(OFlags::DIRECTORY | OFlags::RDONLY)?;
                if hidden {
                    make_opaque(&created)?;
                }
                set_metadata(&created, entry)?;
                self.times.insert(path.to_path_buf(), entry.mtime);
                return Ok(());
            }
            EntryType::Symlink => {
                if entry.link.is_empty() || entry.link.contains(&0) {
                    return Err(invalid("not a valid link target"));
                }
                rustix::fs::symlinkat(entry.link.as_slice(), &place.parent, name)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => make_node(entry, place)?,
            other => {
                return Err(invalid(&format!(
                    "entries of type {:?} are not supported",
                    char::from(other.as_byte())
                )));
            }
        }
        set_metadata_unopened(place, entry)
    }

    fn hard_link(&self, entry: &Entry, place: &Place) -> io::Result<()> {
        let target = relative(&entry.link)?.ok_or_else(|| invalid("a hard link to the root"))?;
        let missing = |_| invalid("its hard link's target is not in the layer");
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = self.root.resolve(parent, OFlags::DIRECTORY | OFlags::RDONLY).map_err(missing)?;
        let target = Place { parent, name: target.file_name().unwrap_or_default().as_bytes().to_vec() };
        let stat = target.stat()?.ok_or_else(|| invalid("its hard link's target is not in the layer"))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(invalid("a hard link to a directory"));
        }
        if place.stat()?.is_some_and(|there| there.st_ino == stat.st_ino) {
            return Ok(());
        }
        place.clear()?;
        let (from, to) = (target.name.as_slice(), place.name.as_slice());
        Ok(rustix::fs::linkat(&target.parent, from, &place.parent, to, AtFlags::empty())?)
    }

    fn finish(self) -> io::Result<()> {
        for (path, time) in self.times.iter().rev() {
            // The directory may have been replaced by a later entry.
            if let Ok(directory) =
                self.root.resolve(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW)
            {
                rustix::fs::futimens(&directory, &timestamps(*time))?;
            }
        }
        Ok(())
    }
}

/// Hides the name from the layers below. What this layer itself holds under the name stays: whiteouts speak
/// only of lower layers, wherever in the archive they stand.
fn whiteout(place: &Place) -> io::Result<()> {
    match place.stat()? {
        None => Ok(rustix::fs::mknodat(
            &place.parent,
            place.name.as_slice(),
            FileType::CharacterDevice,
            Mode::empty(),
            rustix::fs::makedev(0, 0),
        )?),
        Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            make_opaque(&place.open(OFlags::DIRECTORY | OFlags::RDONLY)?)
        }
        Some(_) => Ok(()),
    }
}

fn make_opaque(directory: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty())?)
}

fn write_file(entry: &Entry, place: &Place, data: &mut impl Read) -> io::Result<()> {
    let mut file = File::from(place.open(OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY)?);
    io::copy(data, &mut file)?;
    set_metadata(&file, entry)?;
    Ok(rustix::fs::futimens(&file, &timestamps(entry.mtime))?)
}

fn make_node(entry: &Entry, place: &Place) -> io::Result<()> {
    let kind = match entry.kind {
        EntryType::Char => FileType::CharacterDevice,
        EntryType::Block => FileType::BlockDevice,
        _ => FileType::Fifo,
    };
    let device = rustix::fs::makedev(entry.device.0, entry.device.1);
    Ok(rustix::fs::mknodat(&place.parent, place.name.as_slice(), kind, Mode::empty(), device)?)
}

/// Owner before mode, because a change of owner clears the set-id bits.
fn set_metadata(fd: impl AsFd, entry: &Entry) -> io::Result<()> {
    let fd = fd.as_fd();
    rustix::fs::fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    rustix::fs::fchmod(fd, Mode::from(entry.mode))?;
    for (name, value) in kept_xattrs(entry) {
        supported(rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()))?;
    }
    Ok(())
}

/// The same for what must not be opened: links, devices, FIFOs.
fn set_metadata_unopened(place: &Place, entry: &Entry) -> io::Result<()> {
    let (parent, name) = (&place.parent, place.name.as_slice());
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(
        parent,
        name,
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
        nofollow,
    )?;
    if entry.kind != EntryType::Symlink {
        // The name was created by this entry and is no link.
        rustix::fs::chmodat(parent, name, Mode::from(entry.mode), AtFlags::empty())?;
    }
    for (name, value) in kept_xattrs(entry) {
        supported(rustix::fs::lsetxattr(place.path(), name.as_slice(), value, XattrFlags::empty()))?;
    }
    Ok(rustix::fs::utimensat(parent, name, &timestamps(entry.mtime), nofollow)?)
}

/// The attributes an image may set. Overlayfs's own would redirect its lookups, so they are dropped.
fn kept_xattrs(entry: &Entry) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
    entry.xattrs.iter().filter(|(name, _)| {
        !name.contains(&0) && !name.starts_with(b"trusted.") && !name.starts_with(b"user.overlay.")
    })
}

/// A file system that knows no such attribute does without.
fn supported(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(error) if error != Errno::NOTSUP => Err(error.into()),
        _ => Ok(()),
    }
}

fn timestamps((seconds, nanoseconds): (i64, i64)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}
