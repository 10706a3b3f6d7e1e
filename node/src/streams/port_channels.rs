//! Ports forwarded over plain WebSocket: the request names them, and each has two channels and one connection.
//!
//! ```text
//! 2n  what the n-th port is told and says   2n + 1  what went wrong with it
//! ```
//! The first message on each is the number of its port: two bytes, the lower one first. When all connections have ended, so does
//! the WebSocket: there is no word for the end of one.

use std::io;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::channels::Version;
use super::forward::{Outlet, Target};
use super::messages::{self, Messages};
use super::session::IN_FLIGHT;
use super::spdy::Gone;

/// The most ports of one WebSocket: a channel's number is a byte.
const MAX_PORTS: usize = 128;

/// Why it is not known which ports are meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PortsError {
    /// None is named.
    #[error("query parameter \"port\" is required")]
    Missing,
    /// One is no port.
    #[error("unable to parse {0:?} as a port: it has to be a number from 1 to 65535")]
    Bad(String),
    /// There are too many.
    #[error("{0} ports are too many: one connection forwards {MAX_PORTS}")]
    Many(usize),
}

/// The ports that a query names.
pub(super) fn ports(query: &str) -> Result<Vec<u16>, PortsError> {
    let mut found = Vec::new();
    for (_, list) in form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "port") {
        for port in list.split(',') {
            let number = port.parse().ok().filter(|number| *number != 0);
            found.push(number.ok_or_else(|| PortsError::Bad(port.to_owned()))?);
        }
    }
    match found.len() {
        0 => Err(PortsError::Missing),
        1..=MAX_PORTS => Ok(found),
        many => Err(PortsError::Many(many)),
    }
}

/// Forwards these ports until their connections have ended or the client leaves.
pub(super) async fn carry(
    io: impl AsyncRead + AsyncWrite,
    version: Version,
    ports: Vec<u16>,
    target: Target,
) {
    let (reader, writer) = tokio::io::split(io);
    let (pongs, to_answer) = mpsc::channel(4);
    let (to, mut frames) = mpsc::channel(IN_FLIGHT);
    let (inputs, connections): (Vec<_>, Vec<_>) = (0..=u8::MAX)
        .step_by(2)
        .zip(ports)
        .map(|(data, port)| {
            let (input, incoming) = mpsc::channel(IN_FLIGHT);
            let outlet = |number| Channel { version, number, to: to.clone() };
            let pair = Pair { port, data: outlet(data), error: outlet(data + 1) };
            (input, pair.run(incoming, &target))
        })
        .unzip();
    drop(to);
    let frames = stream::poll_fn(move |context| frames.poll_recv(context)).map(Ok);
    let sending = async { tokio::join!(join_all(connections), messages::write(writer, frames, to_answer)).1 };
    messages::converse(receive(Messages::new(reader, pongs), version, inputs), sending).await;
}

/// Hands what comes to its connection until the client leaves.
async fn receive(
    mut messages: Messages<impl AsyncRead + Unpin>,
    version: Version,
    inputs: Vec<mpsc::Sender<Bytes>>,
) -> io::Result<()> {
    while let Some(message) = messages.next().await? {
        let Some((channel, data)) = version.decode(message).filter(|(channel, _)| channel % 2 == 0) else {
            continue;
        };
        if let Some(input) = inputs.get(usize::from(channel / 2)) {
            // A connection that has ended takes no more.
            input.send(data).await.ok();
        }
    }
    Ok(())
}

/// One way to the client.
struct Channel {
    version: Version,
    number: u8,
    to: mpsc::Sender<Bytes>,
}

impl Outlet for Channel {
    async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.to.send(self.version.encode(self.number, &bytes)).await.map_err(|_| Gone)
    }
}

/// What a client sees of one port.
struct Pair {
    port: u16,
    data: Channel,
    error: Channel,
}

impl Pair {
    async fn run(self, incoming: mpsc::Receiver<Bytes>, target: &Target) {
        for channel in [&self.data, &self.error] {
            // A client that is gone does not want to know anything.
            channel.send(Bytes::copy_from_slice(&self.port.to_le_bytes())).await.ok();
        }
        if let Err(message) = target.forward(self.port, incoming, &self.data).await {
            self.error.send(message.into()).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::net::TcpListener;

    use super::super::channels::PORTS;
    use super::super::forward::Place;
    use super::super::websocket::tests::masked;
    use super::*;

    #[test]
    fn ports_are_listed_or_named_one_by_one() {
        assert_eq!(ports("port=80,8080&port=9&other=x"), Ok(vec![80, 8080, 9]));
        assert_eq!(ports("ports=80"), Err(PortsError::Missing));
        for bad in ["", "0", "65536", "http", "80,"] {
            assert!(matches!(ports(&format!("port={bad}")), Err(PortsError::Bad(_))), "{bad}");
        }
        let many = vec!["1"; 129].join(",");
        assert_eq!(ports(&format!("port={many}")), Err(PortsError::Many(129)));
        assert_eq!(ports(&format!("port={}", &many[2..])).map(|ports| ports.len()), Ok(128));
    }

    /// A Pod on this machine.
    fn here() -> Target {
        let place = Place::Address(std::net::Ipv4Addr::LOCALHOST.into());
        Target { place, pod: "p, uid u".to_owned() }
    }

    async fn message(client: &mut DuplexStream) -> Vec<u8> {
        let head = [client.read_u8().await.unwrap(), client.read_u8().await.unwrap()];
        assert_eq!(head[0] & 0xf0, 0x80, "short frames have one head");
        let mut payload = vec![0; usize::from(head[1])];
        client.read_exact(&mut payload).await.unwrap();
        payload
    }

    #[tokio::test]
    async fn each_port_has_two_channels_that_begin_with_its_number() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, closed) = (open.local_addr().unwrap().port(), taken.local_addr().unwrap().port());
        drop(taken);
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(carry(server, PORTS[0], vec![closed, port], here()));

        let mut heard = Vec::new();
        for _ in 0..5 {
            heard.push(message(&mut client).await);
        }
        for (channel, port) in [(0, closed), (1, closed), (2, port), (3, port)] {
            let [low, high] = port.to_le_bytes();
            let first = heard.iter().find(|message| message[0] == channel).unwrap();
            assert_eq!(*first, [channel, low, high]);
        }
        let why = String::from_utf8_lossy(&heard[4]);
        assert!(why.starts_with(&format!("\x01error forwarding port {closed} to pod p, uid u: ")), "{why}");

        let (mut backend, _) = open.accept().await.unwrap();
        // Nobody hears what is for a port that is closed, on a channel for errors, or on one that is not there.
        for message in [b"\x00lost", b"\x03lost", b"\x09lost", b"\x02told"] {
            client.write_all(&masked(2, true, message)).await.unwrap();
        }
        let mut told = [0; 4];
        backend.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"told");
        backend.write_all(b"said").await.unwrap();
        assert_eq!(message(&mut client).await, b"\x02said");
        drop(backend);
        assert_eq!(message(&mut client).await, 1000_u16.to_be_bytes(), "the last connection ends the rest");
        drop(client);
        tasks.join_next().await.unwrap().unwrap();
    }

    proptest! {
        #[test]
        fn any_query_is_read(query: String, number: u16) {
            if let Ok(found) = ports(&query) {
                prop_assert!(!found.contains(&0));
            }
            prop_assert_eq!(ports(&format!("port={number}")).is_ok(), number != 0);
        }
    }
}
