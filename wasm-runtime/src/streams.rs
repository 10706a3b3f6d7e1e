//! Where the input of a command comes from and its output goes: pipes, or a terminal.
//!
//! A terminal is one of the kernel's, so that lines are edited and echoed as people expect. No process is behind it to be
//! signalled: Ctrl-C is told apart here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::pty::openpty;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex, empty};
use tokio_util::sync::CancellationToken;
use wasmtime_wasi::cli::{AsyncStdinStream, AsyncStdoutStream, IsTerminal, StdinStream, StdoutStream};
use wherry_runtime_api::exec::{Input, Output, Terminal};
use wherry_runtime_api::terminal::Side;

/// How much is held between a command and whoever reads or writes.
const CAPACITY: usize = 64 * 1024;
/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// The ends of a command.
pub(crate) struct Streams {
    pub(crate) stdin: End<AsyncStdinStream>,
    pub(crate) stdout: Outlet,
    pub(crate) stderr: Outlet,
    /// Its errors once more, for what there is to say about the command.
    pub(crate) errors: Box<dyn AsyncWrite + Send + Unpin>,
}

/// The other ends.
pub(crate) struct Client {
    pub(crate) stdin: Option<Input>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Option<Output>,
    pub(crate) terminal: Option<Box<dyn Terminal>>,
}

/// An end to read from, as WASI takes it.
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

/// An end to write to.
pub(crate) struct Outlet {
    /// For WASI 0.2, whose programs flush what is held.
    held: AsyncStdoutStream,
    /// For WASI 0.3, where what was taken must not be lost when the program ends at once.
    direct: Box<dyn Fn() -> Box<dyn AsyncWrite + Send + Sync> + Send + Sync>,
    is_terminal: bool,
}

impl IsTerminal for Outlet {
    fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl StdoutStream for Outlet {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        (self.direct)()
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        self.held.p2_stream()
    }
}

/// The input of a program.
pub(crate) fn input(
    from: impl AsyncRead + Send + Sync + 'static,
    is_terminal: bool,
) -> End<AsyncStdinStream> {
    End { stream: AsyncStdinStream::new(from), is_terminal }
}

fn output(to: impl AsyncWrite + Clone + Send + Sync + 'static, is_terminal: bool) -> Outlet {
    let held = AsyncStdoutStream::new(CAPACITY, to.clone());
    Outlet { held, direct: Box::new(move || Box::new(to.clone())), is_terminal }
}

/// Pipes; without `stdin` the input is empty.
pub(crate) fn pipes(stdin: bool) -> (Streams, Client) {
    let (stdout, to_stdout) = duplex(CAPACITY);
    let (stderr, to_stderr) = duplex(CAPACITY);
    let [to_stdout, to_stderr] =
        [to_stdout, to_stderr].map(|pipe| Shared(Arc::new(parking_lot::Mutex::new(pipe))));
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
    (streams, Client { stdin, stdout: Box::new(stdout), stderr: Some(Box::new(stderr)), terminal: None })
}

/// The side of a terminal that people have.
pub(crate) struct Screen {
    side: Side,
    interrupt: CancellationToken,
}

impl Screen {
    /// Where they type.
    pub(crate) fn keys(&self) -> Input {
        Box::new(Keys { side: self.side.clone(), interrupt: self.interrupt.clone() })
    }

    /// What it shows; only one may read it.
    pub(crate) fn shown(&self) -> Side {
        self.side.clone()
    }

    /// Its size.
    pub(crate) fn window(&self) -> Box<dyn Terminal> {
        Box::new(self.side.window())
    }
}

/// A terminal, which carries everything. `interrupt` is told of Ctrl-C.
pub(crate) fn terminal(interrupt: CancellationToken) -> io::Result<(Streams, Screen)> {
    let pair = openpty(None, None)?;
    let (side, theirs) = (Side::new(pair.master)?, Side::new(pair.slave)?);
    let streams = Streams {
        stdin: input(theirs.clone(), true),
        stdout: output(theirs.clone(), true),
        stderr: output(theirs.clone(), true),
        errors: Box::new(theirs),
    };
    Ok((streams, Screen { side, interrupt }))
}

/// A pipe that several write to.
#[derive(Clone)]
struct Shared(Arc<parking_lot::Mutex<DuplexStream>>);

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    /// The pipe ends when all are gone.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
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
