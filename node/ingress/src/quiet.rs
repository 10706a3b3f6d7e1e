//! A connection that ends by itself when nothing moves on it, or when what is sent is not taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// See the module.
pub(crate) struct Quiet<S> {
    stream: S,
    /// How long nothing may come while nothing goes, and how long what is sent may wait.
    patience: (Duration, Duration),
    moved: Instant,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Quiet<S> {
    /// `quiet` is for both directions, `stalled` for what is sent and not taken.
    pub(crate) fn new(stream: S, quiet: Duration, stalled: Duration) -> Self {
        Self { stream, patience: (quiet, stalled), moved: Instant::now(), reading: None, writing: None }
    }

    /// What was written went, or could not.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            (self.moved, self.writing) = (Instant::now(), None);
            return done;
        }
        let until = Instant::now() + self.patience.1;
        let waiting = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "what was sent was not taken in time")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Quiet<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.moved = Instant::now();
            return Poll::Ready(read);
        }
        let quiet = this.patience.0;
        let waiting =
            this.reading.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(this.moved + quiet)));
        // What moved meanwhile puts the end off, when it is reached: a timer is not set for each piece.
        while waiting.as_mut().poll(cx).is_ready() {
            if this.moved + quiet <= Instant::now() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "nothing moved for too long",
                )));
            }
            waiting.as_mut().reset(this.moved + quiet);
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Quiet<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wrote(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const QUIET: Duration = Duration::from_mins(1);
    const STALLED: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_moves_ends() {
        let (ours, mut theirs) = duplex(16);
        let mut quiet = Quiet::new(ours, QUIET, STALLED);
        let began = Instant::now();
        let moving = async {
            tokio::time::sleep(QUIET / 2).await;
            theirs.write_all(b"x").await.unwrap();
        };
        let mut buffer = [0; 16];
        let (read, ()) = tokio::join!(quiet.read(&mut buffer), moving);
        assert_eq!(read.unwrap(), 1);
        let ended = quiet.read(&mut buffer).await.unwrap_err();
        assert_eq!((ended.kind(), began.elapsed()), (io::ErrorKind::TimedOut, QUIET + QUIET / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_ends_it() {
        let (ours, _theirs) = duplex(16);
        let mut quiet = Quiet::new(ours, QUIET, STALLED);
        let began = Instant::now();
        let ended = quiet.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!((ended.kind(), began.elapsed()), (io::ErrorKind::TimedOut, STALLED));
    }
}
