//! The terminal of a command: one side of it, read and written without a thread.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exec::Terminal;

/// One side of a terminal: what is typed there, and what it shows.
#[derive(Clone, Debug)]
pub struct Side(Arc<AsyncFd<OwnedFd>>);

/// The window of a terminal.
#[derive(Debug)]
pub struct Window(Side);

/// A descriptor that is waited for without a thread.
#[expect(
    unsafe_code,
    reason = "the constructor trusts that a descriptor stays what it is, which owned ones do"
)]
pub fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    // SAFETY: an `OwnedFd` is open, and the same, until it is dropped.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

impl Side {
    /// The side of this descriptor. The terminal hangs up when it and all its clones and windows are gone.
    pub fn new(terminal: OwnedFd) -> io::Result<Self> {
        watched(terminal).map(|terminal| Self(Arc::new(terminal)))
    }

    /// The window of the terminal.
    pub fn window(&self) -> Window {
        Window(self.clone())
    }
}

impl AsyncRead for Side {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd, buffer.initialize_unfilled())?));
            match read {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Nobody has the other side open any more.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Side {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `struct winsize` of the kernel.
#[repr(C)]
struct Size {
    rows: u16,
    columns: u16,
    width: u16,
    height: u16,
}

const SET_WINDOW_SIZE: rustix::ioctl::Opcode = 0x5414;

impl Terminal for Window {
    #[expect(unsafe_code, reason = "the window's size is set by an ioctl that has no safe wrapper here")]
    fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = Size { rows, columns, width: 0, height: 0 };
        // SAFETY: TIOCSWINSZ reads one `struct winsize`, which `Size` is.
        unsafe {
            let set = rustix::ioctl::Setter::<SET_WINDOW_SIZE, Size>::new(size);
            rustix::ioctl::ioctl(self.0.0.get_ref(), set)?;
        }
        Ok(())
    }
}
