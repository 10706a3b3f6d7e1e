//! Guest output as CRI log records, or as that of this process.
//!
//! A log is open from the first record on: a container that says nothing holds no file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wherry_runtime_api::logs::{Encoder, Stream};

use crate::attach::Followers;
use crate::config::Clock;

/// Bytes a guest may write in one call.
const WRITE_SIZE: usize = 64 * 1024;

/// The log file of one container; clones are the same.
#[derive(Clone)]
pub(crate) struct LogFile(Arc<Log>);

struct Log {
    /// None: what is written goes to the output of this process.
    file: Option<Lazy>,
    followers: Arc<Followers>,
    clock: Clock,
}

/// A file that is opened when it is first written to.
struct Lazy {
    path: PathBuf,
    opened: OnceLock<File>,
}

impl Lazy {
    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.opened.get() {
            return Ok(file);
        }
        let file = open(&self.path)?;
        Ok(self.opened.get_or_init(|| file))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl LogFile {
    /// Makes the file, if it is not there, to be appended to.
    pub(crate) fn open(path: &Path, clock: Clock) -> io::Result<Self> {
        open(path)?;
        let file = Lazy { path: path.to_owned(), opened: OnceLock::new() };
        Ok(Self(Arc::new(Log { file: Some(file), followers: Followers::new(), clock })))
    }

    /// The output of this process in place of a file.
    pub(crate) fn of_process(clock: Clock) -> Self {
        Self(Arc::new(Log { file: None, followers: Followers::new(), clock }))
    }

    /// A stream of one instance: its lines never mix with those of another. None if it has that of this process.
    pub(crate) fn stream(&self, stream: Stream) -> Option<LogStream> {
        self.0.file.as_ref()?;
        let lines = Lines { log: Arc::clone(&self.0), stream, encoder: Encoder::new(stream) };
        Some(LogStream { lines: Arc::new(Mutex::new(lines)) })
    }

    /// Those who see what is written.
    pub(crate) fn followers(&self) -> &Followers {
        &self.0.followers
    }

    /// Writes what the runtime has to say about the container.
    pub(crate) fn say(&self, text: &str) {
        let mut stream = Encoder::new(Stream::Stderr);
        let now = (self.0.clock)();
        let written = match &self.0.file {
            Some(file) => file.file().and_then(|mut file| {
                stream.push(text.as_bytes(), now, &mut file)?;
                stream.finish(now, &mut file)
            }),
            None => writeln!(io::stderr(), "{text}"),
        };
        self.0.followers.write(Stream::Stderr, format!("{text}\n").as_bytes());
        if let Err(error) = written {
            tracing::warn!(%error, "cannot write a container log");
        }
    }
}

struct Lines {
    log: Arc<Log>,
    stream: Stream,
    encoder: Encoder,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.log.file {
            self.encoder.push(bytes, (self.log.clock)(), &mut file.file()?)?;
        }
        self.log.followers.write(self.stream, bytes);
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // What was not opened has no line to finish.
        let Some(mut file) = self.log.file.as_ref().and_then(|file| file.opened.get()) else { return };
        if let Err(error) = self.encoder.finish((self.log.clock)(), &mut file) {
            tracing::warn!(%error, "cannot write a container log");
        }
    }
}

/// One output stream of one instance; an unfinished line is written when the instance is gone.
#[derive(Clone)]
pub(crate) struct LogStream {
    lines: Arc<Mutex<Lines>>,
}

impl LogStream {
    /// Writes what came from elsewhere than an instance.
    pub(crate) fn push(&self, bytes: &[u8]) -> io::Result<()> {
        self.lines.lock().push(bytes)
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines.lock().push(&bytes).map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_SIZE)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.lines.lock().push(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
