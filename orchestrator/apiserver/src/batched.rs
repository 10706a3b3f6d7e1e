//! Writes of one turn of a connection, sent together.
//!
//! HTTP/2 flushes after each frame it hands over, which makes a TLS record and a system call of every event of every
//! watch. [`Batched`] takes what is written and keeps it; [`batching`] sends all of it when the connection has had its
//! turn. A full buffer is sent before more is taken, so a slow peer holds the connection up as it would without.
//!
//! A connection that has something to send although its peer said nothing since the last time is one of watches, and an
//! event rarely goes to one of them alone: it takes another turn, after those of the tasks that are ready now, before
//! anything is sent. Answers to requests are sent at once.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is kept at most.
const CAPACITY: usize = 64 * 1024;

/// A stream whose writes wait for the end of the turn. A cheap handle: the connection holds one, the sender another.
#[derive(Debug)]
pub(crate) struct Batched<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    kept: Vec<u8>,
    /// How much of what is kept has been sent.
    sent: usize,
    /// Whether the peer said something since it was last sent something.
    heard: bool,
    /// Whether there are no more turns: who writes now sends, too.
    unbatched: bool,
}

impl<S> Batched<S> {
    /// A stream with nothing kept.
    pub(crate) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Inner { stream, kept: Vec::new(), sent: 0, heard: true, unbatched: false })))
    }

    /// Another handle to the same stream.
    pub(crate) fn handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    /// Whether what is kept may be followed by more at once.
    fn gathers(&self) -> bool {
        !self.heard && !self.kept.is_empty()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.kept.len() {
            let left = &self.kept[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.sent = 0;
        self.heard = false;
        self.kept.clear();
        // An idle connection keeps no buffer.
        self.kept.shrink_to(CAPACITY / 16);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Batched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        let before = buf.filled().len();
        ready!(Pin::new(&mut inner.stream).poll_read(cx, buf))?;
        inner.heard |= buf.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Batched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        if inner.kept.len() >= CAPACITY {
            ready!(inner.poll_send(cx))?;
        }
        let taken = bytes.len().min(CAPACITY - inner.kept.len());
        inner.kept.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    /// Nothing while there are turns: their end sends.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        if inner.unbatched { inner.poll_flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_flush(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

/// Drives a connection over a [`Batched`] stream and sends what it wrote after each of its turns.
pub(crate) async fn batching<S: AsyncWrite + Unpin, F: Future>(
    stream: Batched<S>,
    connection: F,
) -> F::Output {
    let mut connection = pin!(connection);
    let mut waited = false;
    let output = std::future::poll_fn(|cx| {
        let turn = connection.as_mut().poll(cx);
        if turn.is_pending() && !waited && stream.0.lock().gathers() {
            waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        waited = false;
        // A failure to send comes back to the connection with its next read or write.
        let _sent = stream.0.lock().poll_flush(cx);
        turn
    })
    .await;
    // A connection that left HTTP goes on without turns.
    stream.0.lock().unbatched = true;
    // Whoever went away needs the rest no more.
    std::future::poll_fn(|cx| stream.0.lock().poll_flush(cx)).await.ok();
    output
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_written_in_one_turn_is_sent_after_it() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut stream = Batched::new(near);
        let sender = stream.handle();
        let look = stream.handle();
        let turn = async move {
            stream.write_all(b"one").await.unwrap();
            stream.flush().await.unwrap();
            stream.write_all(b"two").await.unwrap();
            assert_eq!(look.0.lock().kept, b"onetwo");
        };
        batching(sender, turn).await;
        let mut seen = [0; 6];
        far.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"onetwo");
    }

    #[tokio::test]
    async fn what_nobody_asked_for_waits_for_what_is_ready_beside_it() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut stream = Batched::new(near);
        let sender = stream.handle();
        let look = stream.handle();
        let (first, second) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let connection = async {
            stream.write_all(b"answer").await.unwrap();
            first.notified().await;
            stream.write_all(b"one").await.unwrap();
            second.notified().await;
            stream.write_all(b"two").await.unwrap();
            assert_eq!(look.0.lock().kept, b"onetwo");
        };
        let peer = async {
            far.read_exact(&mut [0; 6]).await.unwrap();
            first.notify_one();
            second.notify_one();
            let mut seen = [0; 6];
            far.read_exact(&mut seen).await.unwrap();
            seen
        };
        let ((), seen) = tokio::join!(batching(sender, connection), peer);
        assert_eq!(&seen, b"onetwo");
    }

    #[tokio::test]
    async fn more_than_is_kept_arrives_whole_and_in_order_through_a_narrow_pipe() {
        let (near, mut far) = tokio::io::duplex(100);
        let mut stream = Batched::new(near);
        let sender = stream.handle();
        let bytes: Vec<u8> = (0..3 * CAPACITY + 7).map(|n| n.to_le_bytes()[0]).collect();
        let sent = bytes.clone();
        let writing = batching(sender, async move {
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let mut seen = Vec::new();
        let ((), read) = tokio::join!(writing, far.read_to_end(&mut seen));
        read.unwrap();
        assert_eq!(seen, bytes);
    }
}
