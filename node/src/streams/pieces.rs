//! What only flows to a client, as logs do: over WebSocket each piece is a message.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tracing::debug;

use super::{messages, tunnel, websocket};

/// The protocols, and whether messages are binary, else base64. A client that names none speaks the last.
const PROTOCOLS: [(&str, bool); 3] = [("binary.k8s.io", true), ("base64.binary.k8s.io", false), ("", true)];

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Its name, as it was asked for; empty if the client named none.
    pub(super) name: &'static str,
    binary: bool,
}

impl Version {
    /// The first of a client's protocols that is known here.
    pub(super) fn choose<'a>(asked: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut asked = asked.peekable();
        let none = asked.peek().is_none().then_some("");
        let known = |name: &str| PROTOCOLS.into_iter().find(|(known, _)| *known == name);
        none.into_iter().chain(asked).find_map(known).map(|(name, binary)| Self { name, binary })
    }

    fn encode(self, piece: &[u8]) -> Bytes {
        if self.binary {
            return websocket::message(&[piece], true);
        }
        websocket::message(&[STANDARD.encode(piece).as_bytes()], false)
    }
}

/// Sends pieces until there are no more, or the client leaves.
pub(super) async fn carry(
    io: impl AsyncRead + AsyncWrite,
    version: Version,
    mut pieces: mpsc::Receiver<io::Result<Bytes>>,
) {
    let (reader, writer) = tokio::io::split(io);
    let (pongs, to_answer) = mpsc::channel(4);
    let frames = stream::poll_fn(move |context| pieces.poll_recv(context));
    let frames = frames.map(move |piece| piece.map(|piece| version.encode(&piece)));
    let ended = tokio::select! {
        // What a client says beside its pings means nothing here.
        ended = tunnel::unwrap(reader, tokio::io::sink(), pongs) => ended,
        sent = messages::write(writer, frames, to_answer) => sent,
    };
    if let Err(error) = ended {
        debug!(%error, "a client's connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn version(names: &[&str]) -> Option<Version> {
        Version::choose(names.iter().copied())
    }

    #[tokio::test]
    async fn each_piece_is_a_message_and_the_end_is_told() {
        for (names, expected) in [
            (&["binary.k8s.io"][..], &b"\x82\x03one\x82\x03two\x88\x02\x03\xe8"[..]),
            (&["chat", "base64.binary.k8s.io"], b"\x81\x04b25l\x81\x04dHdv\x88\x02\x03\xe8"),
            (&[], b"\x82\x03one\x82\x03two\x88\x02\x03\xe8"),
        ] {
            let (mut client, server) = tokio::io::duplex(1 << 10);
            let (sender, pieces) = mpsc::channel(4);
            for piece in ["one", "two"] {
                sender.send(Ok(Bytes::from_static(piece.as_bytes()))).await.unwrap();
            }
            drop(sender);
            carry(server, version(names).unwrap(), pieces).await;
            let mut sent = Vec::new();
            client.read_to_end(&mut sent).await.unwrap();
            assert_eq!(sent, expected, "{names:?}");
        }
        assert_eq!(version(&["chat"]), None);
    }
}
