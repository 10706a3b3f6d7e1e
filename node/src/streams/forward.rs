//! Forwarded ports: for each connection of the client a stream for its bytes and one for what went wrong.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::spdy::{self, Gone, Stream};
use crate::context::chain;
use crate::network;

const BLOCK: usize = 32 * 1024;

/// The name of the protocol, as clients ask for it.
pub(super) const PROTOCOL: &str = "portforward.k8s.io";
/// The same inside a WebSocket.
pub(super) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// Where the ports of a Pod are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// On localhost of a network namespace.
    Namespace(PathBuf),
    /// At an address.
    Address(IpAddr),
}

/// Whose ports are forwarded.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Where they are.
    pub(super) place: Place,
    /// The Pod's name and uid, as errors call it.
    pub(super) pod: String,
}

impl Target {
    async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        match &self.place {
            Place::Namespace(path) => network::connect(path, port).await.map_err(|error| chain(&error)),
            Place::Address(ip) => TcpStream::connect((*ip, port))
                .await
                .map_err(|error| format!("failed to connect to {ip}:{port}: {error}")),
        }
    }

    /// Carries a connection to a port of the Pod until both sides have ended it; what went wrong, as clients are told it.
    pub(super) async fn forward(
        &self,
        port: u16,
        incoming: mpsc::Receiver<Bytes>,
        outlet: &impl Outlet,
    ) -> Result<(), String> {
        let ended = match self.connect(port).await {
            Ok(backend) => join(incoming, outlet, backend).await.map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        ended.map_err(|reason| format!("error forwarding port {port} to pod {}: {reason}", self.pod))
    }
}

/// Where what a Pod says goes.
pub(super) trait Outlet: Sync {
    /// Sends bytes.
    fn send(&self, bytes: Bytes) -> impl Future<Output = Result<(), Gone>> + Send;
}

impl Outlet for spdy::Outlet {
    async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        Self::send(self, bytes).await
    }
}

/// Forwards connections until the client's own connection ends.
pub(super) async fn carry(io: impl AsyncRead + AsyncWrite, target: Target) {
    let (opened, streams) = mpsc::channel(8);
    tokio::select! {
        () = spdy::carry(io, opened) => {}
        () = forward(streams, target) => {}
    }
}

/// The streams of a connection whose other one has not come.
#[derive(Default)]
struct Pair {
    data: Option<Stream>,
    error: Option<Stream>,
}

async fn forward(mut opened: mpsc::Receiver<Stream>, target: Target) {
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = opened.recv() => stream,
            Some(_) = connections.join_next() => continue,
        };
        let Some(stream) = stream else { return };
        let Some((key, port)) = describe(&stream) else {
            stream.outlet.reset().await;
            continue;
        };
        let is_data = stream.headers.get("streamtype") == Some("data");
        let pair = pairs.entry(key.clone()).or_default();
        *(if is_data { &mut pair.data } else { &mut pair.error }) = Some(stream);
        if pair.data.is_some() && pair.error.is_some() {
            let pair = pairs.remove(&key).unwrap_or_default();
            if let (Some(data), Some(error)) = (pair.data, pair.error) {
                connections.spawn(connection(data, error, port, target.clone()));
            }
        }
    }
}

/// What connection a stream belongs to, and its port; `None` if it says nothing usable.
fn describe(stream: &Stream) -> Option<(String, u16)> {
    let kind = stream.headers.get("streamtype")?;
    let port = stream.headers.get("port")?.parse().ok().filter(|port| *port != 0)?;
    // The oldest clients number nothing: the stream for errors comes just before the one for bytes.
    let unnumbered = match kind {
        "error" => stream.id,
        "data" => stream.id.checked_sub(2)?,
        _ => return None,
    };
    let id = stream.headers.get("requestid").filter(|id| !id.is_empty());
    Some((id.map_or_else(|| unnumbered.to_string(), str::to_owned), port))
}

async fn connection(data: Stream, error: Stream, port: u16, target: Target) {
    let Stream { data, outlet, .. } = data;
    if let Err(message) = target.forward(port, data, &outlet).await {
        // A client that is gone does not want to know.
        error.outlet.send(Bytes::from(message)).await.ok();
    }
    outlet.finish().await;
    error.outlet.finish().await;
}

/// Copies both ways until both sides have ended.
async fn join(
    mut incoming: mpsc::Receiver<Bytes>,
    outlet: &impl Outlet,
    backend: TcpStream,
) -> io::Result<()> {
    let (mut reader, mut writer) = backend.into_split();
    let inwards = async {
        while let Some(bytes) = incoming.recv().await {
            writer.write_all(&bytes).await?;
        }
        writer.shutdown().await
    };
    let outwards = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(BLOCK);
            if reader.read_buf(&mut buffer).await? == 0 || outlet.send(buffer.split().freeze()).await.is_err()
            {
                return Ok(());
            }
        }
    };
    let mut outwards = std::pin::pin!(outwards);
    tokio::select! {
        // Nobody is left to read what the client might still send.
        ended = &mut outwards => ended,
        ended = inwards => match ended {
            // A Pod that does not read any more may still have something to say.
            Ok(()) | Err(_) => outwards.await,
        },
    }
}
