//! Commands over WebSocket: each message begins with the number of its channel.
//!
//! ```text
//! 0 stdin   1 stdout   2 stderr   3 how it ended   4 sizes of the window   255 the end of a channel (version 5)
//! ```

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tracing::debug;

use super::session::{Ends, Message, Size};
use super::websocket::{self, Decoder, Event};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const END: u8 = 255;
/// How long a client may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Which of the protocols a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Its name, as it was asked for; empty if the client named none.
    pub(super) name: &'static str,
    /// Whether messages are binary, else base64.
    binary: bool,
    /// Whether the end is told as a `Status`.
    as_status: bool,
}

const VERSIONS: [Version; 6] = [
    Version { name: "v5.channel.k8s.io", binary: true, as_status: true },
    Version { name: "v4.channel.k8s.io", binary: true, as_status: true },
    Version { name: "v4.base64.channel.k8s.io", binary: false, as_status: true },
    Version { name: "channel.k8s.io", binary: true, as_status: false },
    Version { name: "base64.channel.k8s.io", binary: false, as_status: false },
    Version { name: "", binary: true, as_status: false },
];

impl Version {
    /// The first of a client's protocols that is known here; a client that names none speaks the oldest.
    pub(super) fn choose<'a>(mut asked: impl Iterator<Item = &'a str>) -> Option<Self> {
        asked.find_map(|name| VERSIONS.into_iter().find(|version| version.name == name))
    }

    fn encode(self, channel: u8, data: &[u8]) -> Bytes {
        if self.binary {
            return websocket::message(&[&[channel], data], true);
        }
        websocket::message(&[&[b'0' + channel], STANDARD.encode(data).as_bytes()], false)
    }

    /// A message's channel and content; `None` if it has none.
    fn decode(self, mut message: Bytes) -> Option<(u8, Bytes)> {
        let channel = *message.first()?;
        message.advance(1);
        if self.binary {
            return Some((channel, message));
        }
        Some((channel.checked_sub(b'0')?, STANDARD.decode(&message).ok()?.into()))
    }
}

/// Carries a session over a connection until either side is done.
pub(super) async fn carry(io: impl AsyncRead + AsyncWrite, version: Version, ends: Ends) {
    let (reader, writer) = tokio::io::split(io);
    let (pongs, to_answer) = mpsc::channel(4);
    let receiver = Receiver { version, input: Some(ends.input), sizes: ends.sizes, pongs };
    let mut receiving = std::pin::pin!(receiver.run(reader));
    let ended = tokio::select! {
        ended = &mut receiving => ended,
        sent = send(writer, version, ends.output, to_answer) => match sent {
            Ok(()) => tokio::time::timeout(GOODBYE, receiving).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
    };
    if let Err(error) = ended {
        debug!(%error, "a client's connection broke off");
    }
}

struct Receiver {
    version: Version,
    input: Option<mpsc::Sender<Bytes>>,
    sizes: mpsc::Sender<Size>,
    pongs: mpsc::Sender<Bytes>,
}

impl Receiver {
    /// Reads until the client leaves.
    async fn run(mut self, mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::with_capacity(8 * 1024));
        loop {
            while let Some(event) = decoder.next(&mut buffer).map_err(io::Error::other)? {
                match event {
                    Event::Message(message) => self.take(message).await,
                    // Whoever writes no more needs no answers.
                    Event::Ping(payload) => drop(self.pongs.send(payload).await),
                    Event::Close => return Ok(()),
                }
            }
            if reader.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, message: Bytes) {
        match self.version.decode(message) {
            Some((STDIN, data)) => {
                if let Some(input) = &self.input
                    && input.send(data).await.is_err()
                {
                    self.input = None;
                }
            }
            Some((RESIZE, data)) => {
                if let Ok(size) = serde_json::from_slice(&data) {
                    // A command without a terminal has no size.
                    self.sizes.try_send(size).ok();
                }
            }
            Some((END, data)) if *data == [STDIN] => self.input = None,
            Some(_) | None => {}
        }
    }
}

/// Writes until the session has no more to say.
async fn send(
    mut writer: impl AsyncWrite + Unpin,
    version: Version,
    mut output: mpsc::Receiver<Message>,
    mut pongs: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    // Tells the client that the connection stands.
    writer.write_all(&version.encode(STDOUT, b"")).await?;
    writer.flush().await?;
    loop {
        let frame = tokio::select! {
            message = output.recv() => match message {
                Some(Message::Stdout(data)) => version.encode(STDOUT, &data),
                Some(Message::Stderr(data)) => version.encode(STDERR, &data),
                Some(Message::Ended(ended)) => version.encode(STATUS, &ended.bytes(version.as_status)),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::session::{Ended, Session};
    use super::super::websocket::tests::masked;
    use super::*;

    fn version(name: &str) -> Version {
        Version::choose([name].into_iter()).unwrap()
    }

    #[test]
    fn the_first_protocol_that_is_known_is_spoken() {
        let choose = |names: &[&str]| Version::choose(names.iter().copied()).map(|version| version.name);
        assert_eq!(
            choose(&["v9.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]),
            Some("v4.channel.k8s.io")
        );
        assert_eq!(choose(&["chat"]), None);
    }

    #[tokio::test]
    async fn channels_lead_to_their_ends_and_the_end_of_input_is_one() {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let (mut session, ends) = Session::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carry(server, version("v5.channel.k8s.io"), ends));
        for message in [&b"\0typed"[..], b"\x04{\"Width\":9,\"Height\":8}", b"\xff\0"] {
            client.write_all(&masked(2, true, message)).await.unwrap();
        }
        assert_eq!(session.input.recv().await.unwrap(), "typed");
        assert_eq!(session.input.recv().await, None);
        assert_eq!(session.sizes.recv().await, Some(Size { width: 9, height: 8 }));
        session.output.send(Message::Stdout(Bytes::from_static(b"shown"))).await.unwrap();
        session.output.send(Message::Ended(Ended::Code(0))).await.unwrap();
        drop(session);
        let mut sent = vec![0; 11];
        client.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, b"\x82\x01\x01\x82\x06\x01shown"[..11]);
        drop(client);
        tasks.join_next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_gone_closes_the_session() {
        let (client, server) = tokio::io::duplex(1 << 16);
        let (mut session, ends) = Session::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carry(server, version("v4.channel.k8s.io"), ends));
        drop(client);
        session.output.closed().await;
        assert_eq!(session.input.recv().await, None);
    }

    #[test]
    fn base64_carries_the_same() {
        let version = version("v4.base64.channel.k8s.io");
        assert_eq!(version.encode(STDOUT, b"foo\n"), &b"\x81\x091Zm9vCg=="[..]);
        let message = Bytes::from_static(b"0Zm9vCg==");
        assert_eq!(version.decode(message), Some((STDIN, Bytes::from_static(b"foo\n"))));
        assert_eq!(version.decode(Bytes::from_static(b"0!")), None);
    }

    proptest! {
        #[test]
        fn any_message_ends_in_an_answer(message: Vec<u8>) {
            for version in VERSIONS {
                version.decode(message.clone().into());
            }
            serde_json::from_slice::<Size>(&message).ok();
        }

        #[test]
        fn base64_is_read_as_it_is_written(channel in 0u8..5, data: Vec<u8>) {
            let message = format!("{channel}{}", STANDARD.encode(&data));
            prop_assert_eq!(version("v4.base64.channel.k8s.io").decode(message.into()), Some((channel, data.into())));
        }
    }
}
