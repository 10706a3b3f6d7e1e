//! Accepts the connections of all servers that have threads in common, in one task: a server that nobody asks is a listening socket
//! and no task.
//!
//! The sockets are watched by an epoll of their own, which is one file to the threads' reactor.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::sleep;
use wherry_runtime_api::terminal::watched;

use crate::serve::Service;

/// Sockets that are looked at before others get their turn, and connections that are taken of each.
const SOCKETS: usize = 64;
const CONNECTIONS: usize = 64;
/// How long to wait after the kernel refused a connection for want of resources.
const PAUSE: Duration = Duration::from_millis(20);
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The sockets of one set of threads.
pub(crate) struct Acceptor {
    epoll: OwnedFd,
    doors: Mutex<HashMap<u64, Door>>,
    next: AtomicU64,
}

struct Door {
    listener: TcpListener,
    service: Arc<Service>,
}

/// An open door; it is closed when dropped.
pub(crate) struct Opened {
    acceptor: Arc<Acceptor>,
    key: u64,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.acceptor.close(self.key);
    }
}

impl Acceptor {
    /// Without sockets.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, doors: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Hands what comes to `listener` to the service from now on.
    pub(crate) fn open(self: &Arc<Self>, listener: TcpListener, service: Arc<Service>) -> io::Result<Opened> {
        listener.set_nonblocking(true)?;
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let (data, flags) = (epoll::EventData::new_u64(key), epoll::EventFlags::IN);
        let mut doors = self.doors.lock();
        epoll::add(&self.epoll, &listener, data, flags)?;
        doors.insert(key, Door { listener, service });
        Ok(Opened { acceptor: Arc::clone(self), key })
    }

    fn close(&self, key: u64) {
        let door = self.doors.lock().remove(&key);
        if let Some(door) = door
            && let Err(error) = epoll::delete(&self.epoll, &door.listener)
        {
            tracing::debug!(%error, "a socket that is closed was not watched");
        }
    }

    /// Accepts, for as long as the threads run.
    pub(crate) async fn run(self: Arc<Self>) {
        if let Err(error) = self.accept().await {
            tracing::error!(%error, "servers accept no connections any more");
        }
    }

    async fn accept(&self) -> io::Result<()> {
        let ready = watched(self.epoll.try_clone()?)?;
        loop {
            let mut guard = ready.readable().await?;
            match self.look()? {
                Look::Nobody => guard.clear_ready(),
                // Those who were let in get their turn.
                Look::Somebody => yield_now().await,
                Look::Refused => sleep(PAUSE).await,
            }
        }
    }

    /// Accepts whoever is there.
    fn look(&self) -> io::Result<Look> {
        let mut events = [const { MaybeUninit::uninit() }; SOCKETS];
        let events = match epoll::wait(&self.epoll, &mut events[..], Some(&NOW)) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(Look::Somebody),
            Err(error) => return Err(error.into()),
        };
        let mut look = if events.is_empty() { Look::Nobody } else { Look::Somebody };
        for event in events {
            let data = event.data;
            // Nobody is accepted by a door that was closed: the lock is held.
            let doors = self.doors.lock();
            if doors.get(&data.u64()).is_some_and(|door| door.accept().is_err()) {
                look = Look::Refused;
            }
        }
        Ok(look)
    }
}

/// Who was there.
enum Look {
    Nobody,
    Somebody,
    /// Somebody whom the kernel did not hand over.
    Refused,
}

impl Door {
    fn accept(&self) -> io::Result<()> {
        for _ in 0..CONNECTIONS {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    tracing::debug!(address = %self.service.address, %error, "cannot accept a connection");
                    return Err(error);
                }
            };
            stream.set_nonblocking(true)?;
            self.service.welcome(TcpStream::from_std(stream)?);
        }
        Ok(())
    }
}
