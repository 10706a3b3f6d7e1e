//! Waits for files to change, by inotify.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

    /// Waits until something watched changed since the last wait.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.fd.readable().await?;
            let drained = self.drain()?;
            ready.clear_ready();
            if drained {
                return Ok(());
            }
        }
    }

    /// Reads all events; says whether there were any.
    fn drain(&self) -> io::Result<bool> {
        let mut buffer = [const { MaybeUninit::uninit() }; 1024];
        let mut reader = Reader::new(self.fd.get_ref(), &mut buffer);
        let mut any = false;
        loop {
            match reader.next() {
                Ok(_) => any = true,
                Err(Errno::WOULDBLOCK) => return Ok(any),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
