//! A connection to an endpoint.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::place::{Address, Place};
use super::tls;
use crate::state::State;

/// What went wrong with a connection, as clients know it.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

/// Connects to where an endpoint is.
pub(crate) async fn open(
    state: &State,
    place: &Place,
    tls: &TlsConnector,
) -> Result<TlsStream<TcpStream>, String> {
    let stream = dial(place.find(state)?).await?;
    let name = ServerName::try_from(place.host.clone())
        .map_err(|_| format!("tls: {:?} is no name a certificate can have", place.host))?;
    tls.connect(name, stream).await.map_err(|error| tls::told(&error, &place.host))
}

/// Connects to an address.
pub(super) async fn dial(address: Address) -> Result<TcpStream, String> {
    match address {
        Address::Ip(ip) => TcpStream::connect(ip).await.map_err(|e| format!("dial tcp {ip}: {}", words(&e))),
        Address::Host(host, port) => {
            let found = tokio::net::lookup_host((host.as_str(), port)).await;
            let found = found.map_err(|_| format!("dial tcp: lookup {host}: no such host"))?;
            let mut last = format!("dial tcp: lookup {host}: no such host");
            for ip in found {
                match TcpStream::connect(ip).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = format!("dial tcp {ip}: {}", words(&error)),
                }
            }
            Err(last)
        }
    }
}

/// Connects, ready for requests.
pub(super) async fn connect(
    state: &State,
    place: &Place,
    tls: &TlsConnector,
    end: &CancellationToken,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = open(state, place, tls).await?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| error.to_string())?;
    // The connection lives until its peer or its pool ends it, or nobody will ask any more.
    let end = end.clone();
    state.tasks.spawn(async move {
        tokio::select! {
            () = end.cancelled() => {}
            // How it ended is what the next request over it sees.
            _ = connection => {}
        }
    });
    Ok(sender)
}
