//! SPDY/3.1 as clients of Kubernetes speak it: streams that the client opens over one connection.
//!
//! ```text
//! bytes -> frame (headers, dictionary) -> Stream: what it is for, what comes, where answers go
//! ```
//!
//! # Caveats
//! Windows are not kept, as clients keep none: a stream that nobody reads holds the others up.

mod dictionary;
mod frame;
mod headers;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tracing::debug;

use frame::{Decoder, Encoder, Frame, Outgoing};
pub(super) use headers::Headers;

/// Frames, and pieces of one stream, on their way.
const IN_FLIGHT: usize = 16;
/// The most streams of one connection at a time.
const MAX_STREAMS: usize = 1024;
/// How long a client may take to close the connection once it was told to.
const GOODBYE: Duration = Duration::from_secs(5);

/// Bytes that are not SPDY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not SPDY/3.1: {0}")]
pub(super) struct SpdyError(&'static str);

/// A stream that a client opened.
pub(super) struct Stream {
    /// Its number.
    pub(super) id: u32,
    /// What it is for.
    pub(super) headers: Headers,
    /// What comes; ends with the client's side of the stream.
    pub(super) data: mpsc::Receiver<Bytes>,
    /// Where answers go.
    pub(super) outlet: Outlet,
}

/// This side of a stream.
#[derive(Clone)]
pub(super) struct Outlet {
    id: u32,
    to: mpsc::Sender<Outgoing>,
}

/// The connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Outlet {
    /// Sends bytes.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.to.send(Outgoing::Data(self.id, bytes)).await.map_err(|_| Gone)
    }

    /// Ends this side; a connection that is gone has ended it.
    pub(super) async fn finish(&self) {
        self.to.send(Outgoing::Finish(self.id)).await.ok();
    }

    /// Tells the client that the stream is not wanted.
    pub(super) async fn reset(&self) {
        self.to.send(Outgoing::Reset(self.id)).await.ok();
    }

    /// Tells the client that all is said.
    pub(super) async fn go_away(&self) {
        self.to.send(Outgoing::GoAway).await.ok();
    }
}

/// Carries a connection and hands its streams to `opened`, until either side ends it.
pub(super) async fn carry(io: impl AsyncRead + AsyncWrite, opened: mpsc::Sender<Stream>) {
    let (reader, writer) = tokio::io::split(io);
    let (to, outgoing) = mpsc::channel(IN_FLIGHT);
    let receiver = Receiver { streams: HashMap::new(), opened, to };
    let mut receiving = std::pin::pin!(receiver.run(reader));
    let ended = tokio::select! {
        ended = &mut receiving => ended,
        sent = send(writer, outgoing) => match sent {
            Ok(()) => tokio::time::timeout(GOODBYE, receiving).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
    };
    if let Err(error) = ended {
        debug!(%error, "a client's connection broke off");
    }
}

struct Receiver {
    /// Where what comes on a stream goes, as long as somebody wants it.
    streams: HashMap<u32, mpsc::Sender<Bytes>>,
    opened: mpsc::Sender<Stream>,
    to: mpsc::Sender<Outgoing>,
}

impl Receiver {
    /// Reads until the client leaves.
    async fn run(mut self, mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
        let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::with_capacity(8 * 1024));
        loop {
            while let Some(frame) = decoder.next(&mut buffer).map_err(io::Error::other)? {
                self.take(frame).await?;
            }
            if reader.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Open { id, fin, headers } => self.open(id, fin, headers).await?,
            Frame::Data { id, fin, data } => {
                if let Some(stream) = self.streams.get(&id)
                    && !data.is_empty()
                    && stream.send(data).await.is_err()
                {
                    self.streams.remove(&id);
                }
                if fin {
                    self.streams.remove(&id);
                }
            }
            Frame::Reset(id) => drop(self.streams.remove(&id)),
            // A writer that has ended answers nobody.
            Frame::Ping(id) => drop(self.to.send(Outgoing::Ping(id)).await),
            Frame::Other => {}
        }
        Ok(())
    }

    async fn open(&mut self, id: u32, fin: bool, headers: Headers) -> io::Result<()> {
        if id.is_multiple_of(2) || self.streams.contains_key(&id) {
            return Err(io::Error::other(SpdyError("a stream has a wrong number")));
        }
        self.streams.retain(|_, stream| !stream.is_closed());
        if self.streams.len() >= MAX_STREAMS {
            self.to.send(Outgoing::Reset(id)).await.ok();
            return Ok(());
        }
        let (sender, data) = mpsc::channel(IN_FLIGHT);
        if !fin {
            self.streams.insert(id, sender);
        }
        let outlet = Outlet { id, to: self.to.clone() };
        self.to.send(Outgoing::Reply(id)).await.ok();
        // Without a taker the connection is about to end.
        self.opened.send(Stream { id, headers, data, outlet }).await.ok();
        Ok(())
    }
}

/// Writes until all is said.
async fn send(mut writer: impl AsyncWrite + Unpin, mut outgoing: mpsc::Receiver<Outgoing>) -> io::Result<()> {
    let mut encoder = Encoder::new().map_err(io::Error::other)?;
    while let Some(frame) = outgoing.recv().await {
        let last = frame == Outgoing::GoAway;
        writer.write_all(&encoder.bytes(frame).map_err(io::Error::other)?).await?;
        writer.flush().await?;
        if last {
            break;
        }
    }
    writer.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::frame::tests::{open, sent};
    use super::headers::Deflater;
    use super::*;

    #[tokio::test]
    async fn streams_carry_bytes_both_ways_and_end_apart() {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let (opened, mut streams) = mpsc::channel(4);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carry(server, opened));
        let mut deflater = Deflater::new().unwrap();
        client.write_all(&open(&mut deflater, 1, &[("streamType", "data")])).await.unwrap();
        client.write_all(&sent(1, false, b"to the Pod")).await.unwrap();
        client.write_all(&sent(1, true, b"")).await.unwrap();
        let mut stream = streams.recv().await.unwrap();
        assert_eq!((stream.id, stream.headers.get("streamtype")), (1, Some("data")));
        assert_eq!(stream.data.recv().await.unwrap(), "to the Pod");
        assert_eq!(stream.data.recv().await, None);
        stream.outlet.send(Bytes::from_static(b"back")).await.unwrap();
        stream.outlet.finish().await;
        stream.outlet.go_away().await;
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        let text = String::from_utf8_lossy(&all).into_owned();
        assert!(text.contains("\0\0\0\x01\0\0\0\x04back\0\0\0\x01\x01\0\0\0"), "{text:?}");
        drop(client);
        tasks.join_next().await.unwrap().unwrap();
        assert_eq!(stream.outlet.send(Bytes::new()).await, Err(Gone));
    }
}
