//! Attaching to a container's program: what it writes from then on, its input, its terminal.
//!
//! ```text
//! attach -> Execution --typed--> Doors (input, terminal) --> the program (Ends)
//!                     <--------- Followers <-- log file <---
//! ```

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::{SinkExt as _, stream};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};
use tokio_util::sync::{CancellationToken, PollSender};
use wasmtime_wasi::cli::AsyncStdinStream;
use wherry_runtime_api::exec::{Input, Output};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::terminal::Side;
use wherry_runtime_api::{Execution, Streams as Wanted};

use crate::streams::{self, End, Screen, Streams};

/// What one who is slower than the program may leave unread; then that one is left behind, so that the program goes on.
const UNREAD: usize = 1024 * 1024;
/// Pieces of input between whoever types and a program that does not read.
const PIECES: usize = 16;

/// Those who see what a container writes.
pub(crate) struct Followers {
    /// None after the end.
    all: Mutex<Option<Vec<Follower>>>,
}

struct Follower {
    stdout: DuplexStream,
    /// None: a terminal has one output.
    stderr: Option<DuplexStream>,
}

impl Followers {
    /// Nobody yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { all: Mutex::new(Some(Vec::new())) })
    }

    /// Shows everybody what was written.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        if let Some(all) = self.all.lock().as_mut() {
            all.retain_mut(|follower| follower.take(stream, bytes));
        }
    }

    /// There is nothing more to see.
    pub(crate) fn end(&self) {
        self.all.lock().take();
    }

    fn join(&self, terminal: bool) -> (Output, Option<Output>) {
        let (stdout, shown) = duplex(UNREAD);
        let (stderr, errors) = if terminal { (None, None) } else { Some(duplex(UNREAD)).unzip() };
        if let Some(all) = self.all.lock().as_mut() {
            all.push(Follower { stdout, stderr });
        }
        (Box::new(shown), errors.map(|errors| Box::new(errors) as Output))
    }
}

impl Follower {
    /// False if it is gone or left behind.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let to = match (stream, &mut self.stderr) {
            (Stream::Stderr, Some(stderr)) => stderr,
            _ => &mut self.stdout,
        };
        let written = Pin::new(to).poll_write(&mut Context::from_waker(Waker::noop()), bytes);
        matches!(written, Poll::Ready(Ok(count)) if count == bytes.len())
    }
}

/// What those who attach may use beside the output.
pub(crate) enum Doors {
    /// There is no input.
    None,
    /// A pipe. None after its only user took it.
    Pipe { input: Mutex<Option<mpsc::Sender<Bytes>>>, once: bool },
    /// A terminal.
    Terminal { screen: Screen, stdin: bool },
}

/// Where the program reads and writes.
pub(crate) enum Ends {
    /// It writes to its log.
    Log { stdin: Option<End<AsyncStdinStream>> },
    /// It has a terminal; what that shows is read from `shown`, and `interrupt` tells of Ctrl-C.
    Terminal { streams: Streams, shown: Side, interrupt: CancellationToken },
}

/// Opens what the specification wants.
pub(crate) fn open(wanted: Wanted) -> io::Result<(Doors, Ends)> {
    if wanted.terminal {
        let interrupt = CancellationToken::new();
        let (streams, screen) = streams::terminal(interrupt.clone())?;
        let shown = screen.shown();
        let doors = Doors::Terminal { screen, stdin: wanted.stdin };
        return Ok((doors, Ends::Terminal { streams, shown, interrupt }));
    }
    if !wanted.stdin {
        return Ok((Doors::None, Ends::Log { stdin: None }));
    }
    let (sender, mut receiver) = mpsc::channel(PIECES);
    let pieces = stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|piece| piece.map(io::Result::Ok)));
    let stdin = Some(streams::input(StreamReader::new(pieces), false));
    let doors = Doors::Pipe { input: Mutex::new(Some(sender)), once: wanted.stdin_once };
    Ok((doors, Ends::Log { stdin }))
}

/// Joins what a program writes and, if `stdin` is wanted and there is any, its input, until `ended`.
pub(crate) fn join(doors: &Doors, followers: &Followers, stdin: bool, ended: CancellationToken) -> Execution {
    let terminal = if let Doors::Terminal { screen, .. } = doors { Some(screen.window()) } else { None };
    let (stdout, stderr) = followers.join(terminal.is_some());
    let ended = async move {
        ended.cancelled().await;
        Ok(0)
    };
    let stdin = if stdin { doors.input() } else { None };
    Execution { stdin, stdout, stderr, terminal, ended: Box::pin(ended) }
}

impl Doors {
    fn input(&self) -> Option<Input> {
        match self {
            Self::None | Self::Terminal { stdin: false, .. } => None,
            Self::Terminal { screen, stdin: true } => Some(screen.keys()),
            Self::Pipe { input, once } => {
                let mut input = input.lock();
                let sender = if *once { input.take() } else { input.clone() };
                let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
                let pieces = PollSender::new(sender?).sink_map_err(gone);
                Some(Box::new(SinkWriter::new(CopyToBytes::new(pieces))))
            }
        }
    }
}
