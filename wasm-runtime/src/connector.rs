//! Connections of outgoing requests: from the pod's address, plain or TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsConnector;

use crate::held::{Allowance, TooMany};
use crate::names::PodNames;
use crate::network::PodNetwork;
use crate::remarks::Remarks;

static TLS: LazyLock<Option<TlsConnector>> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
});

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The URI names no host.
    #[error("the request names no host")]
    NoHost,
    /// The name has no address.
    #[error("cannot resolve {host:?}")]
    Resolve { host: String, source: io::Error },
    /// Not even the question for its addresses is allowed.
    #[error("its name may not be asked for")]
    Unnamed(#[source] io::Error),
    /// The pod's network forbids it.
    #[error("{0} is out of this Pod's reach")]
    Forbidden(SocketAddr),
    /// The container has as many sockets as it may have.
    #[error("no more connections")]
    TooMany(#[source] TooMany),
    /// Nobody accepted.
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    /// The TLS handshake failed.
    #[error("TLS with {host:?} failed")]
    Tls { host: String, source: io::Error },
}

/// Makes connections for one container.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) network: PodNetwork,
    pub(crate) names: PodNames,
    pub(crate) sockets: Allowance,
    /// Where it is told what was refused.
    pub(crate) remarks: Arc<Remarks>,
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Stream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        connect(self.clone(), uri).boxed()
    }
}

async fn connect(connector: Connector, uri: Uri) -> Result<Stream, ConnectError> {
    let permit = connector.permit()?;
    let Connector { network, names, remarks, .. } = connector;
    let tls = uri.scheme() == Some(&Scheme::HTTPS);
    let host = uri.host().ok_or(ConnectError::NoHost)?.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let mut failure = None;
    let addresses = names.addresses(host, &network).await.map_err(|source| {
        if source.kind() == io::ErrorKind::PermissionDenied {
            remarks.refused(&source.to_string());
            return ConnectError::Unnamed(source);
        }
        ConnectError::Resolve { host: host.to_owned(), source }
    })?;
    for ip in addresses {
        match reach(&network, SocketAddr::new(ip, port)).await {
            Ok(stream) if tls => return Ok(Stream::new(handshake(host, stream).await?, permit)),
            Ok(stream) => return Ok(Stream::new(Box::new(stream), permit)),
            Err(error) => {
                if matches!(error, ConnectError::Forbidden(_)) {
                    remarks.refused(&error.to_string());
                }
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| no_address(host)))
}

fn no_address(host: &str) -> ConnectError {
    ConnectError::Resolve { host: host.to_owned(), source: io::ErrorKind::NotFound.into() }
}

/// Connects to addresses that were chosen already, by whoever looked whether what leads there may be reached.
#[derive(Clone)]
pub(crate) struct ToChosen(pub(crate) Connector);

impl tower::Service<Uri> for ToChosen {
    type Response = Stream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Stream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        connect_chosen(self.0.clone(), uri).boxed()
    }
}

async fn connect_chosen(connector: Connector, uri: Uri) -> Result<Stream, ConnectError> {
    let permit = connector.permit()?;
    let address = uri.authority().and_then(|authority| authority.as_str().parse().ok());
    let address: SocketAddr = address.ok_or(ConnectError::NoHost)?;
    let stream = dial(&connector.network, address).await;
    let stream = stream.map_err(|source| ConnectError::Connect { address, source })?;
    Ok(Stream::new(Box::new(stream), permit))
}

impl Connector {
    /// Leave for one connection more.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, ConnectError> {
        let permit = self.sockets.take().inspect_err(|error| self.remarks.refused(&error.to_string()));
        permit.map_err(ConnectError::TooMany)
    }
}

async fn reach(network: &PodNetwork, address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let target = network.meant(address);
    if !network.reaches(target.ip()) {
        return Err(ConnectError::Forbidden(target));
    }
    dial(network, target).await.map_err(|source| ConnectError::Connect { address: target, source })
}

async fn dial(network: &PodNetwork, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = network.source(target.ip()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake(host: &str, stream: TcpStream) -> Result<Box<dyn Duplex>, ConnectError> {
    let failed = |source| ConnectError::Tls { host: host.to_owned(), source };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
    let connector = TLS.as_ref().ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
    Ok(Box::new(connector.connect(name, stream).await.map_err(failed)?))
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open connection.
pub(crate) struct Stream {
    io: TokioIo<Box<dyn Duplex>>,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    fn new(stream: Box<dyn Duplex>, permit: OwnedSemaphorePermit) -> Self {
        Self { io: TokioIo::new(stream), _permit: permit }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
