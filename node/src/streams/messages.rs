//! A connection as the messages of a WebSocket: those that come, and the writing of those that go.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tracing::debug;

use super::websocket::{self, Decoder, Event};

/// How long a client may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a client sends.
pub(super) struct Messages<R> {
    reader: R,
    decoder: Decoder,
    buffer: BytesMut,
    /// Where pings go that want an answer.
    pongs: mpsc::Sender<Bytes>,
}

impl<R: AsyncRead + Unpin> Messages<R> {
    /// Messages out of what is read here.
    pub(super) fn new(reader: R, pongs: mpsc::Sender<Bytes>) -> Self {
        Self { reader, decoder: Decoder::default(), buffer: BytesMut::with_capacity(8 * 1024), pongs }
    }

    /// The next one; `None` once the client has left.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.decoder.next(&mut self.buffer).map_err(io::Error::other)? {
                Some(Event::Message(message)) => return Ok(Some(message)),
                // Whoever writes no more needs no answers.
                Some(Event::Ping(payload)) => drop(self.pongs.send(payload).await),
                Some(Event::Close) => return Ok(None),
                None => {
                    if self.reader.read_buf(&mut self.buffer).await? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Writes frames until there are no more, then says goodbye.
pub(super) async fn write(
    mut writer: impl AsyncWrite + Unpin,
    frames: impl Stream<Item = io::Result<Bytes>>,
    mut pongs: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    let mut frames = std::pin::pin!(frames);
    loop {
        let frame = tokio::select! {
            frame = frames.next() => match frame {
                Some(frame) => frame?,
                None => break,
            },
            Some(payload) = pongs.recv() => websocket::pong(&payload),
        };
        writer.write_all(&frame).await?;
        writer.flush().await?;
    }
    writer.write_all(&websocket::close()).await?;
    writer.shutdown().await
}

/// Goes on until the client leaves, or has had time to leave after all was written.
pub(super) async fn converse(
    receiving: impl Future<Output = io::Result<()>>,
    sending: impl Future<Output = io::Result<()>>,
) {
    let mut receiving = std::pin::pin!(receiving);
    let ended = tokio::select! {
        ended = &mut receiving => ended,
        sent = sending => match sent {
            Ok(()) => tokio::time::timeout(GOODBYE, receiving).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
    };
    if let Err(error) = ended {
        debug!(%error, "a client's connection broke off");
    }
}
