//! Changes of buckets, kept in a file of a volume: what was acknowledged is there after the agent was killed or the power went.
//!
//! # Format
//! `wherrykv` and a version, then records: a seal (the first 8 bytes of the SHA-256 of what follows it), the length of the change, the change.
//! The file comes from a volume that others may write to: it is read up to the first record that does not hold, and whatever it says is held to the quota.
//!
//! # Guarantees
//! Changes are written in their order. Those that come while others are being written are written together, with one sync. A file that has grown to
//! more than twice what may be kept is written anew beside it, without what was replaced, and takes its place.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, fsync, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use tokio::task::spawn_blocking;

/// The file in the volume, and the one that is to take its place.
const FILE: &str = ".wherry-keyvalue";
const NEXT: &str = ".wherry-keyvalue.next";
const BEGIN: [u8; 9] = *b"wherrykv\x01";
const SEAL: usize = 8;
const HEAD: usize = SEAL + 4;
/// What a file may have of the past, however little may be kept.
const PAST: u64 = 1 << 20;

/// A change of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) bucket: Arc<str>,
    pub(super) key: String,
    /// None: it is deleted.
    pub(super) value: Option<Vec<u8>>,
}

/// The file, and what is to be written.
#[derive(Debug)]
pub(super) struct Journal {
    /// The most bytes of what is kept, and of changes that wait.
    most: u64,
    queue: Mutex<Queue>,
    writer: Arc<tokio::sync::Mutex<Writer>>,
    /// The number of the last change that is durable.
    durable: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    records: Vec<u8>,
    /// The number of the last change in it.
    last: u64,
}

#[derive(Debug)]
struct Writer {
    directory: OwnedFd,
    file: File,
    length: u64,
    /// What keeps it from being written to for good.
    broken: Option<String>,
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// Somebody else has it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It is another file.
    #[error("{} holds no values that this version of wherry can read", .0.display())]
    Form(PathBuf),
    /// It is larger than it could be.
    #[error("{} holds more than the {most} bytes that may be kept", path.display())]
    TooLarge { path: PathBuf, most: u64 },
}

impl Journal {
    /// Opens the journal of a volume, which is made if there is none. Every change in it is given to `replay`, which tells whether there is
    /// room for it in the `most` bytes that may be kept.
    pub(super) fn open(
        volume: &Path,
        most: usize,
        mut replay: impl FnMut(Change) -> bool,
    ) -> Result<Self, JournalError> {
        let path = || volume.join(FILE);
        let failed = |action| move |source: io::Error| JournalError::Io { action, path: path(), source };
        let most = most as u64;
        let directory = File::open(volume).map_err(failed("open the directory of"))?.into();
        let mut file = open(&directory, FILE).map_err(failed("open"))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(JournalError::InUse(path()));
        }
        let mut bytes = Vec::new();
        // What may be there when it is written anew, and all that waited meanwhile.
        let longest = longest(most) + 2 * most;
        (&mut file).take(longest + 1).read_to_end(&mut bytes).map_err(failed("read"))?;
        if bytes.len() as u64 > longest {
            return Err(JournalError::TooLarge { path: path(), most: longest });
        }
        let held = match bytes.strip_prefix(&BEGIN) {
            Some(records) => {
                let (changes, held) = read(records);
                if !changes.into_iter().all(&mut replay) {
                    return Err(JournalError::TooLarge { path: path(), most });
                }
                BEGIN.len() + held
            }
            // Whoever made it was killed.
            None if BEGIN.starts_with(&bytes) => 0,
            None => return Err(JournalError::Form(path())),
        };
        if held < bytes.len() {
            let lost = bytes.len() - held;
            tracing::warn!(file = %path().display(), lost, "the end of the file was not written whole");
        }
        let mut writer = Writer { directory, file, length: held as u64, broken: None };
        writer.begin().map_err(failed("write"))?;
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        Ok(Self { most, queue: Mutex::default(), writer, durable: AtomicU64::new(0) })
    }

    /// Whether another change may wait.
    pub(super) fn has_room(&self) -> bool {
        (self.queue.lock().records.len() as u64) < self.most
    }

    /// Queues a change; the number to await. Whoever calls has the order of changes to keep.
    pub(super) fn push(&self, change: &Change) -> u64 {
        let mut queue = self.queue.lock();
        change.write(&mut queue.records);
        queue.last += 1;
        queue.last
    }

    /// The number of the last change.
    pub(super) fn last(&self) -> u64 {
        self.queue.lock().last
    }

    /// Waits until the change of this number is durable. `present` tells what is kept, with no change missing that was queued before.
    pub(super) async fn durable(
        self: &Arc<Self>,
        number: u64,
        present: impl FnOnce() -> Vec<Change> + Send + 'static,
    ) -> Result<(), String> {
        if self.is_durable(number) {
            return Ok(());
        }
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        if self.is_durable(number) {
            return Ok(());
        }
        let journal = Arc::clone(self);
        // Whoever waits may be gone before it is written; the writer is let go of after that.
        let written = spawn_blocking(move || journal.write(&mut writer, present));
        written.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn is_durable(&self, number: u64) -> bool {
        self.durable.load(Ordering::Acquire) >= number
    }

    /// Writes all that waits.
    fn write(&self, writer: &mut Writer, present: impl FnOnce() -> Vec<Change>) -> Result<(), String> {
        if let Some(reason) = &writer.broken {
            return Err(reason.clone());
        }
        let (records, last) = {
            let mut queue = self.queue.lock();
            (std::mem::take(&mut queue.records), queue.last)
        };
        let renewed = |writer: &mut Writer| {
            if writer.length > longest(self.most) { writer.renew(&present()) } else { Ok(()) }
        };
        if let Err(error) = writer.append(&records).and_then(|()| renewed(writer)) {
            // How much of it was written is not known, so nothing can follow it.
            let reason = format!("the volume cannot be written to: {error}");
            writer.broken = Some(reason.clone());
            return Err(reason);
        }
        self.durable.store(last, Ordering::Release);
        Ok(())
    }
}

/// How long a file gets before it is written anew.
fn longest(most: u64) -> u64 {
    2 * most + PAST
}

impl Writer {
    /// Removes what does not hold at the end, or begins a new file.
    fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        if self.length == 0 {
            self.file.write_all(&BEGIN)?;
            self.length = BEGIN.len() as u64;
        }
        self.file.sync_all()?;
        Ok(fsync(&self.directory)?)
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.write_all(records)?;
        self.length += records.len() as u64;
        self.file.sync_data()
    }

    /// Writes the present alone, in place of all that led to it.
    fn renew(&mut self, present: &[Change]) -> io::Result<()> {
        let mut bytes = BEGIN.to_vec();
        for change in present {
            change.write(&mut bytes);
        }
        match unlinkat(&self.directory, NEXT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mut next = open(&self.directory, NEXT)?;
        flock(&next, FlockOperation::NonBlockingLockExclusive)?;
        next.write_all(&bytes)?;
        next.sync_all()?;
        renameat(&self.directory, NEXT, &self.directory, FILE)?;
        fsync(&self.directory)?;
        (self.file, self.length) = (next, bytes.len() as u64);
        Ok(())
    }
}

impl Change {
    fn write(&self, to: &mut Vec<u8>) {
        let begin = to.len();
        to.extend([0; HEAD]);
        to.push(u8::from(self.value.is_some()));
        for text in [&*self.bucket, &self.key] {
            // Of a length that the quota bounds.
            to.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            to.extend(text.as_bytes());
        }
        to.extend(self.value.iter().flatten());
        let length = u32::try_from(to.len() - begin - HEAD).unwrap_or(u32::MAX);
        to[begin + SEAL..begin + HEAD].copy_from_slice(&length.to_le_bytes());
        let seal = digest(&SHA256, &to[begin + SEAL..]);
        to[begin..begin + SEAL].copy_from_slice(&seal.as_ref()[..SEAL]);
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let has_value = take(&mut bytes, 1)? == [1];
        let mut text = || {
            let length = u32::from_le_bytes(take(&mut bytes, 4)?.try_into().ok()?);
            String::from_utf8(take(&mut bytes, length as usize)?.to_vec()).ok()
        };
        let (bucket, key) = (text()?.into(), text()?);
        (has_value || bytes.is_empty()).then(|| Self {
            bucket,
            key,
            value: has_value.then(|| bytes.to_vec()),
        })
    }
}

/// The changes up to the first that does not hold, and how many bytes they take.
fn read(records: &[u8]) -> (Vec<Change>, usize) {
    let (mut changes, mut rest) = (Vec::new(), records);
    while let Some((change, after)) = record(rest) {
        changes.push(change);
        rest = after;
    }
    (changes, records.len() - rest.len())
}

fn record(mut bytes: &[u8]) -> Option<(Change, &[u8])> {
    let seal = take(&mut bytes, SEAL)?;
    let sealed = bytes;
    let length = u32::from_le_bytes(take(&mut bytes, 4)?.try_into().ok()?);
    let change = take(&mut bytes, length as usize)?;
    let found = digest(&SHA256, &sealed[..4 + change.len()]);
    (seal == &found.as_ref()[..SEAL]).then_some(())?;
    Some((Change::read(change)?, bytes))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// A file of the volume, which is made if there is none. Others may have put a link, a pipe or a device in its place: those are not opened.
fn open(directory: &OwnedFd, name: &str) -> io::Result<File> {
    let made = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match openat(directory, name, made, Mode::RUSR | Mode::WUSR) {
        Ok(file) => return Ok(file.into()),
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let found = openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    File::options().read(true).write(true).open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
