//! A connection inside a WebSocket: the messages' content, one after the other.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tracing::debug;

use super::messages::Messages;
use super::websocket;

const BUFFER: usize = 64 * 1024;

/// What is inside, and the carrying of it, which goes on until either side ends.
pub(super) fn open(io: impl AsyncRead + AsyncWrite) -> (DuplexStream, impl Future<Output = ()>) {
    let (inside, own) = tokio::io::duplex(BUFFER);
    (inside, carry(io, own))
}

async fn carry(io: impl AsyncRead + AsyncWrite, own: DuplexStream) {
    let (reader, writer) = tokio::io::split(io);
    let (inner_reader, inner_writer) = tokio::io::split(own);
    let (pongs, to_answer) = mpsc::channel(4);
    let ended = tokio::select! {
        ended = unwrap(reader, inner_writer, pongs) => ended,
        ended = wrap(inner_reader, writer, to_answer) => ended,
    };
    if let Err(error) = ended {
        debug!(%error, "a client's connection broke off");
    }
}

/// Passes the content of messages on until the client says goodbye.
pub(super) async fn unwrap(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    pongs: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let mut messages = Messages::new(from, pongs);
    while let Some(message) = messages.next().await? {
        to.write_all(&message).await?;
    }
    Ok(())
}

async fn wrap(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut pongs: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    loop {
        let frame = tokio::select! {
            read = from.read_buf(&mut buffer) => match read? {
                0 => break,
                _ => websocket::message(&[&buffer.split()], true),
            },
            Some(payload) = pongs.recv() => websocket::pong(&payload),
        };
        to.write_all(&frame).await?;
        to.flush().await?;
        buffer.reserve(BUFFER);
    }
    to.write_all(&websocket::close()).await?;
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::super::websocket::tests::masked;
    use super::*;

    #[tokio::test]
    async fn bytes_go_in_and_out() {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let (mut inside, carrying) = open(server);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carrying);
        client.write_all(&masked(2, true, b"in")).await.unwrap();
        let mut found = [0; 2];
        inside.read_exact(&mut found).await.unwrap();
        assert_eq!(&found, b"in");
        inside.write_all(b"out").await.unwrap();
        let mut frame = [0; 5];
        client.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"\x82\x03out");
        drop(client);
        assert_eq!(inside.read(&mut found).await.unwrap(), 0);
    }
}
