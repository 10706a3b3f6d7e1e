//! Waits for files to change, by inotify.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The watches that were told of something.
    pub(crate) watches: BTreeSet<i32>,
    /// There were more than the kernel keeps, so any of the others may have changed, too.
    pub(crate) lost: bool,
}

/// Tells that a watched file or directory changed.
#[derive(Debug)]
pub(crate) struct FileWatch {
    fd: AsyncFd<OwnedFd>,
}

impl FileWatch {
    /// Watches nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[expect(unsafe_code, reason = "tokio offers no safe way to wait for a descriptor")]
        // SAFETY: the descriptor was just opened, is owned by the `AsyncFd` and never replaced or closed before it.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Self { fd })
    }

    /// Watches a file for writes, or a directory for new entries.
    pub(crate) fn add(&self, path: &Path) -> io::Result<()> {
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE_SELF;
        inotify::add_watch(self.fd.get_ref(), path, flags)?;
        Ok(())
    }

    /// Watches a directory for entries that come and go, and for files in it that were written and closed.
    pub(crate) fn add_entries(&self, directory: &Path) -> io::Result<()> {
        let entries = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::CLOSE_WRITE;
        let itself = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        inotify::add_watch(self.fd.get_ref(), directory, entries | itself)?;
        Ok(())
    }

    /// Watches a directory for the next new entry or write to a file in it, and no longer: however much is written, one change is
    /// told. The number is that in [`Changes`]; no other watch is ever given it.
    pub(crate) fn add_once(&self, directory: &Path) -> io::Result<i32> {
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::ONESHOT | WatchFlags::ONLYDIR;
        Ok(inotify::add_watch(self.fd.get_ref(), directory, flags)?)
    }

    /// Waits until something watched changed since changes were last taken, and leaves them to be taken.
    pub(crate) async fn something(&self) -> io::Result<()> {
        self.fd.readable().await.map(drop)
    }

    /// Waits until something watched changed since changes were last taken.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.changes().await.map(drop)
    }

    /// Waits until something watched changed since changes were last taken, and takes all there are.
    pub(crate) async fn changes(&self) -> io::Result<Changes> {
        loop {
            let mut ready = self.fd.readable().await?;
            let changes = self.drain()?;
            ready.clear_ready();
            if changes != Changes::default() {
                return Ok(changes);
            }
        }
    }

    /// Reads all events.
    fn drain(&self) -> io::Result<Changes> {
        let mut buffer = [const { MaybeUninit::uninit() }; 1024];
        let mut reader = Reader::new(self.fd.get_ref(), &mut buffer);
        let mut changes = Changes::default();
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => changes.lost = true,
                Ok(event) => drop(changes.watches.insert(event.wd())),
                Err(Errno::WOULDBLOCK) => return Ok(changes),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
