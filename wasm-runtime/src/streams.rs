//! Where the input of a command comes from and its output goes: pipes, or a terminal.
//!
//! A terminal is one of the kernel's, so that lines are edited and echoed as people expect. No process is behind it to be
//! signalled: Ctrl-C is told apart here.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex, empty};
use tokio_util::sync::CancellationToken;
use wasmtime_wasi::cli::{AsyncStdinStream, AsyncStdoutStream, IsTerminal, StdinStream, StdoutStream};
use wherry_runtime_api::exec::{Input, Output};

/// How much is held between a command and whoever reads or writes.
const CAPACITY: usize = 64 * 1024;
/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// The ends of a command.
pub(crate) struct Streams {
    pub(crate) stdin: End<AsyncStdinStream>,
    pub(crate) stdout: End<AsyncStdoutStream>,
    pub(crate) stderr: End<AsyncStdoutStream>,
    /// Its errors once more, for what there is to say about the command.
    pub(crate) errors: Box<dyn AsyncWrite + Send + Unpin>,
}

/// The other ends.
pub(crate) struct Client {
    pub(crate) stdin: Option<Input>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Option<Output>,
}

/// One end as WASI takes it.
pub(crate) struct End<S> {
    stream: S,
    is_terminal: bool,
}

impl<S> IsTerminal for End<S> {
    fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl<S: StdinStream> StdinStream for End<S> {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        self.stream.async_stream()
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::InputStream> {
        self.stream.p2_stream()
    }
}

impl<S: StdoutStream> StdoutStream for End<S> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        self.stream.async_stream()
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        self.stream.p2_stream()
    }
}

fn input(from: impl AsyncRead + Send + Sync + 'static, is_terminal: bool) -> End<AsyncStdinStream> {
    End { stream: AsyncStdinStream::new(from), is_terminal }
}

fn output(to: impl AsyncWrite + Send + Sync + 'static, is_terminal: bool) -> End<AsyncStdoutStream> {
    End { stream: AsyncStdoutStream::new(CAPACITY, to), is_terminal }
}

/// Pipes; without `stdin` the input is empty.
pub(crate) fn pipes(stdin: bool) -> (Streams, Client) {
    let (stdout, to_stdout) = duplex(CAPACITY);
    let (stderr, to_stderr) = duplex(CAPACITY);
    let to_stderr = Shared(Arc::new(parking_lot::Mutex::new(to_stderr)));
    let (stdin, from_stdin) = if stdin {
        let (stdin, from) = duplex(CAPACITY);
        (Some(Box::new(stdin) as Input), input(from, false))
    } else {
        (None, input(empty(), false))
    };
    let streams = Streams {
        stdin: from_stdin,
        stdout: output(to_stdout, false),
        stderr: output(to_stderr.clone(), false),
        errors: Box::new(to_stderr),
    };
    (streams, Client { stdin, stdout: Box::new(stdout), stderr: Some(Box::new(stderr)) })
}

/// A terminal, which carries everything. `interrupt` is told of Ctrl-C.
pub(crate) fn terminal(stdin: bool, interrupt: CancellationToken) -> io::Result<(Streams, Client)> {
    let pair = openpty(None, None)?;
    let (ours, theirs) = (Side::new(pair.master)?, Side::new(pair.slave)?);
    let streams = Streams {
        stdin: input(theirs.clone(), true),
        stdout: output(theirs.clone(), true),
        stderr: output(theirs.clone(), true),
        errors: Box::new(theirs),
    };
    let keys = || Box::new(Keys { side: ours.clone(), interrupt }) as Input;
    let client = Client { stdin: stdin.then(keys), stdout: Box::new(ours), stderr: None };
    Ok((streams, client))
}

/// A pipe that two write to.
#[derive(Clone)]
struct Shared(Arc<parking_lot::Mutex<DuplexStream>>);

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    /// The pipe ends when both are gone.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// One side of a terminal.
#[derive(Clone)]
struct Side(Arc<AsyncFd<OwnedFd>>);

impl Side {
    #[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // SAFETY: the descriptor is open, is owned by the `AsyncFd` and never replaced or closed before it.
        let fd = unsafe { AsyncFd::register(fd)? };
        Ok(Self(Arc::new(fd)))
    }
}

impl AsyncRead for Side {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            match guard.try_io(|fd| rustix::io::read(fd, buffer.initialize_unfilled()).map_err(Into::into)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // So the kernel says that the other side is gone.
                Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Side {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            match guard.try_io(|fd| rustix::io::write(fd, bytes).map_err(Into::into)) {
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
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

/// What somebody types.
struct Keys {
    side: Side,
    interrupt: CancellationToken,
}

impl AsyncWrite for Keys {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.contains(&INTERRUPT) {
            self.interrupt.cancel();
        }
        Pin::new(&mut self.side).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(cx)
    }
}
