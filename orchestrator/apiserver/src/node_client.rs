//! Connections to nodes: for streams of log bytes, and for requests passed on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use http::header::HOST;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::Clock;

use crate::config::NodeClientTls;
use crate::rotating::{Derived, Rotating, TlsTime};

/// Where a node listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    /// Its address.
    pub(crate) ip: IpAddr,
    /// Its port.
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error("the certificates for talking to nodes are unusable: {0}")]
    Certificates(String),
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("the TLS handshake failed")]
    Handshake(#[source] std::io::Error),
    #[error("the request failed")]
    Request(#[source] hyper::Error),
}

/// Talks to nodes with this server's client certificate.
pub(crate) struct NodeClient {
    connector: Derived<NodeClientTls, Result<TlsConnector, String>>,
}

impl NodeClient {
    /// A client with these certificates.
    pub(crate) fn new(tls: Rotating<NodeClientTls>, clock: &Arc<dyn Clock>) -> Self {
        let time = TlsTime::of(clock);
        Self { connector: Derived::new(tls, move |tls| connector(tls, Arc::clone(&time))) }
    }

    /// Connects to a node that shows the right certificate.
    pub(crate) async fn connect(&self, address: &Address) -> Result<TlsStream<TcpStream>, NodeError> {
        let connector = self.connector.get().map_err(NodeError::Certificates)?;
        let stream = TcpStream::connect((address.ip, address.port)).await.map_err(NodeError::Connect)?;
        let name = ServerName::IpAddress(address.ip.into());
        connector.connect(name, stream).await.map_err(NodeError::Handshake)
    }

    /// Sends a GET and answers what comes back; the body streams.
    pub(crate) async fn get(
        &self,
        address: &Address,
        path: &str,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Result<Response, NodeError> {
        let stream = self.connect(address).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(NodeError::Request)?;
        // The connection lives until its body was read, its reader went away, or the server stops.
        let stopping = stopping.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                // How it ended is what the reader of the body sees.
                _ = connection => {}
            }
        });
        let request = Request::get(path)
            .header(HOST, address.to_string())
            .body(Body::empty())
            .expect("the path was assembled from checked names");
        let response = sender.send_request(request).await.map_err(NodeError::Request)?;
        Ok(response.map(Body::new))
    }
}

fn connector(tls: &NodeClientTls, time: Arc<dyn TimeProvider>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    let key = PrivateKeyDer::from_pem_slice(&tls.key).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_details(provider, time)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&tls.cert)?, key)
        .map_err(|e| e.to_string())?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The certificates in a PEM text.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(list) if list.is_empty() => Err("there is no certificate in the PEM text".to_owned()),
        Ok(list) => Ok(list),
        Err(error) => Err(error.to_string()),
    }
}
