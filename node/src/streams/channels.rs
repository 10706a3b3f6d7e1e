//! Commands over WebSocket: each message begins with the number of its channel.
//!
//! ```text
//! 0 stdin   1 stdout   2 stderr   3 how it ended   4 sizes of the window   255 the end of a channel (version 5)
//! ```

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::messages::{self, Messages};
use super::session::{Ends, Message, Size};
use super::websocket;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const END: u8 = 255;

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

/// Those of commands. A client that names none speaks the last.
pub(super) const COMMANDS: [Version; 6] = [
    Version { name: "v5.channel.k8s.io", binary: true, as_status: true },
    Version { name: "v4.channel.k8s.io", binary: true, as_status: true },
    Version { name: "v4.base64.channel.k8s.io", binary: false, as_status: true },
    Version { name: "channel.k8s.io", binary: true, as_status: false },
    Version { name: "base64.channel.k8s.io", binary: false, as_status: false },
    Version { name: "", binary: true, as_status: false },
];

/// Those of forwarded ports.
pub(super) const PORTS: [Version; 3] = [COMMANDS[1], COMMANDS[2], COMMANDS[5]];

impl Version {
    /// The first of a client's protocols that is `known`.
    pub(super) fn choose<'a>(asked: impl Iterator<Item = &'a str>, known: &[Self]) -> Option<Self> {
        let mut asked = asked.peekable();
        let none = asked.peek().is_none().then_some("");
        none.into_iter()
            .chain(asked)
            .find_map(|name| known.iter().copied().find(|version| version.name == name))
    }

    /// The message that has this to say on a channel.
    pub(super) fn encode(self, channel: u8, data: &[u8]) -> Bytes {
        if self.binary {
            return websocket::message(&[&[channel], data], true);
        }
        let channel = channel.wrapping_add(b'0');
        websocket::message(&[&[channel], STANDARD.encode(data).as_bytes()], false)
    }

    /// A message's channel and content; `None` if it has none.
    pub(super) fn decode(self, mut message: Bytes) -> Option<(u8, Bytes)> {
        let channel = *message.first()?;
        message.advance(1);
        if self.binary {
            return Some((channel, message));
        }
        Some((channel.wrapping_sub(b'0'), STANDARD.decode(&message).ok()?.into()))
    }
}

/// Carries a session over a connection until either side is done.
pub(super) async fn carry(io: impl AsyncRead + AsyncWrite, version: Version, ends: Ends) {
    let (reader, writer) = tokio::io::split(io);
    let (pongs, to_answer) = mpsc::channel(4);
    let receiver = Receiver { version, input: Some(ends.input), sizes: ends.sizes };
    let receiving = receiver.run(Messages::new(reader, pongs));
    messages::converse(receiving, send(writer, version, ends.output, to_answer)).await;
}

struct Receiver {
    version: Version,
    input: Option<mpsc::Sender<Bytes>>,
    sizes: mpsc::Sender<Size>,
}

impl Receiver {
    /// Reads until the client leaves.
    async fn run(mut self, mut messages: Messages<impl AsyncRead + Unpin>) -> io::Result<()> {
        while let Some(message) = messages.next().await? {
            self.take(message).await;
        }
        Ok(())
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
    writer: impl AsyncWrite + Unpin,
    version: Version,
    mut output: mpsc::Receiver<Message>,
    pongs: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    // Tells the client that the connection stands.
    let first = stream::iter([version.encode(STDOUT, b"")]);
    let frames =
        stream::poll_fn(move |context| output.poll_recv(context)).map(move |message| match message {
            Message::Stdout(data) => version.encode(STDOUT, &data),
            Message::Stderr(data) => version.encode(STDERR, &data),
            Message::Ended(ended) => version.encode(STATUS, &ended.bytes(version.as_status)),
        });
    messages::write(writer, first.chain(frames).map(Ok), pongs).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::session::{Ended, Session};
    use super::super::websocket::tests::masked;
    use super::*;

    fn version(name: &str) -> Version {
        Version::choose([name].into_iter(), &COMMANDS).unwrap()
    }

    #[test]
    fn the_first_protocol_that_is_known_is_spoken() {
        let among = |names: &[&str], known: &[Version]| {
            Version::choose(names.iter().copied(), known).map(|version| version.name)
        };
        let choose = |names: &[&str]| among(names, &COMMANDS);
        assert_eq!(
            choose(&["v9.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]),
            Some("v4.channel.k8s.io")
        );
        assert_eq!((choose(&["chat"]), choose(&[])), (None, Some("")));
        assert_eq!(among(&["v5.channel.k8s.io", "v4.channel.k8s.io"], &PORTS), Some("v4.channel.k8s.io"));
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
            for version in COMMANDS {
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
