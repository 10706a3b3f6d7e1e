//! Commands over SPDY: the client opens a stream for each of input, output, errors, sizes and the end.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tracing::debug;

use super::session::{Ends, Message, PROTOCOLS, Size};
use super::spdy::{self, Outlet, Stream};

/// How long a client may take to open its streams.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which of the protocols a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Its name.
    pub(super) name: &'static str,
}

impl Version {
    /// The first of a client's protocols that is known here; a client that names none speaks the oldest.
    pub(super) fn choose<'a>(asked: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut asked = asked.peekable();
        if asked.peek().is_none() {
            return Some(Self { name: "channel.k8s.io" });
        }
        asked.find_map(|name| PROTOCOLS.into_iter().find(|known| *known == name)).map(|name| Self { name })
    }

    fn as_status(self) -> bool {
        matches!(self.name, "v5.channel.k8s.io" | "v4.channel.k8s.io")
    }

    fn has_sizes(self) -> bool {
        self.as_status() || self.name == "v3.channel.k8s.io"
    }
}

/// Which streams a client opens.
#[expect(clippy::struct_excessive_bools, reason = "the flags of a request, each independent of the others")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its input.
    pub(super) stdin: bool,
    /// The command's output.
    pub(super) stdout: bool,
    /// The command's errors.
    pub(super) stderr: bool,
    /// A terminal.
    pub(super) tty: bool,
}

impl Wanted {
    fn count(self, version: Version) -> usize {
        let sizes = self.tty && version.has_sizes();
        1 + [self.stdin, self.stdout, self.stderr, sizes].into_iter().filter(|wanted| *wanted).count()
    }
}

/// Carries a session over a connection until either side is done.
pub(super) async fn carry(io: impl AsyncRead + AsyncWrite, version: Version, wanted: Wanted, ends: Ends) {
    let (opened, streams) = mpsc::channel(8);
    tokio::select! {
        () = spdy::carry(io, opened) => {}
        () = converse(streams, version, wanted, ends) => {}
    }
}

/// Waits for the client's streams, then joins them with the session. Goes on until the connection ends.
async fn converse(mut opened: mpsc::Receiver<Stream>, version: Version, wanted: Wanted, ends: Ends) {
    let collected = tokio::time::timeout(PATIENCE, collect(&mut opened, wanted.count(version))).await;
    let Ok(Some(mut streams)) = collected else {
        return debug!("a client did not open the streams of its command");
    };
    let Some(status) = streams.remove("error").map(|stream| stream.outlet) else {
        return debug!("a client did not open the stream for errors");
    };
    let outlets = ["stdout", "stderr"].map(|kind| streams.remove(kind).map(|stream| stream.outlet));
    let incoming = async {
        let input = feed(streams.remove("stdin"), ends.input);
        tokio::join!(input, sizes(streams.remove("resize"), ends.sizes));
    };
    let telling = tell(ends.output, outlets, &status, version);
    tokio::join!(incoming, telling);
    std::future::pending::<()>().await;
}

async fn collect(opened: &mut mpsc::Receiver<Stream>, count: usize) -> Option<HashMap<String, Stream>> {
    let mut streams = HashMap::new();
    while streams.len() < count {
        let stream = opened.recv().await?;
        let kind = stream.headers.get("streamtype").unwrap_or_default().to_owned();
        streams.insert(kind, stream);
    }
    Some(streams)
}

async fn feed(stream: Option<Stream>, input: mpsc::Sender<Bytes>) {
    let Some(mut stream) = stream else { return };
    while let Some(bytes) = stream.data.recv().await {
        if input.send(bytes).await.is_err() {
            return;
        }
    }
}

/// Sizes are JSON values one after the other, cut anywhere.
async fn sizes(stream: Option<Stream>, sizes: mpsc::Sender<Size>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = BytesMut::new();
    while let Some(bytes) = stream.data.recv().await {
        buffer.extend_from_slice(&bytes);
        let mut values = serde_json::Deserializer::from_slice(&buffer).into_iter::<Size>();
        let mut last = None;
        while let Some(Ok(size)) = values.next() {
            last = Some((size, values.byte_offset()));
        }
        if let Some((size, read)) = last {
            // Only the newest size counts.
            sizes.try_send(size).ok();
            bytes::Buf::advance(&mut buffer, read);
        }
        if buffer.len() > 4096 {
            return;
        }
    }
}

/// Sends what the session says, then ends the streams and the connection.
async fn tell(
    mut output: mpsc::Receiver<Message>,
    outlets: [Option<Outlet>; 2],
    status: &Outlet,
    version: Version,
) {
    let [stdout, stderr] = &outlets;
    while let Some(message) = output.recv().await {
        let (outlet, bytes) = match message {
            Message::Stdout(bytes) => (stdout.as_ref(), bytes),
            Message::Stderr(bytes) => (stderr.as_ref(), bytes),
            Message::Ended(ended) => (Some(status), ended.bytes(version.as_status())),
        };
        if let Some(outlet) = outlet.filter(|_| !bytes.is_empty())
            && outlet.send(bytes).await.is_err()
        {
            return;
        }
    }
    for outlet in outlets.iter().flatten() {
        outlet.finish().await;
    }
    status.finish().await;
    status.go_away().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ_in_what_they_know() {
        let choose = |names: &[&str]| Version::choose(names.iter().copied());
        let newest = choose(&["v5.channel.k8s.io", "v4.channel.k8s.io"]).unwrap();
        let wanted = Wanted { stdin: true, stdout: true, stderr: false, tty: true };
        assert_eq!((newest.name, newest.as_status(), wanted.count(newest)), ("v5.channel.k8s.io", true, 4));
        let old = choose(&["v2.channel.k8s.io"]).unwrap();
        assert_eq!((old.as_status(), wanted.count(old)), (false, 3));
        assert_eq!(choose(&[]).unwrap().name, "channel.k8s.io");
        assert_eq!(choose(&["v9.channel.k8s.io"]), None);
    }
}
