//! Connect: a connection to a target, plain or with TLS, and one request over it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::{Target, Transport};
use crate::node_client::{Address, NodeError};
use crate::outbound::words;
use crate::state::State;

/// How long a target may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why a target could not be asked. The texts are those clients know.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("dial tcp {address}: {}", words(.cause))]
    Dial { address: String, cause: io::Error },
    #[error("tls: {0}")]
    Tls(io::Error),
    #[error("{0}")]
    Node(NodeError),
    #[error("{0}")]
    Request(hyper::Error),
}

/// Connects to a target.
pub(super) async fn connect(state: &State, target: &Target<'_>) -> Result<Box<dyn Stream>, ConnectError> {
    if let Transport::Node(client) = target.transport {
        let address = Address { ip: target.ip, port: target.port };
        let connecting = tokio::time::timeout(PATIENCE, client.connect(&address)).await;
        let stream = connecting.unwrap_or_else(|_| Err(NodeError::Connect(io::ErrorKind::TimedOut.into())));
        return Ok(Box::new(stream.map_err(ConnectError::Node)?));
    }
    let dialing = tokio::time::timeout(PATIENCE, TcpStream::connect((target.ip, target.port))).await;
    let stream = dialing
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|cause| ConnectError::Dial { address: target.authority(), cause })?;
    if let Transport::Plain = target.transport {
        return Ok(Box::new(stream));
    }
    let name = ServerName::IpAddress(target.ip.into());
    let handshake = tokio::time::timeout(PATIENCE, state.trusting.connect(name, stream)).await;
    let stream = handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    Ok(Box::new(stream.map_err(ConnectError::Tls)?))
}

/// Sends a request and answers what comes back; the body streams.
pub(crate) async fn send(
    state: &State,
    stream: Box<dyn Stream>,
    request: Request<Body>,
) -> Result<Response, ConnectError> {
    let handshake = http1::Builder::new().handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(ConnectError::Request)?;
    // The connection lives until its body was read, its reader went away, or the server stops.
    let stopping = state.stopping.clone();
    state.tasks.spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            // How it ended is what the reader of the body sees.
            _ = connection.with_upgrades() => {}
        }
    });
    let response = sender.send_request(request).await.map_err(ConnectError::Request)?;
    Ok(response.map(Body::new))
}

/// Connects to whoever answers: the certificates of Pods are nobody's to check, as with Kubernetes.
pub(crate) fn trusting() -> TlsConnector {
    TlsConnector::from(Arc::new(anybody().with_no_client_auth()))
}

/// TLS with whoever answers.
pub(crate) fn anybody() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Trusting(Arc::clone(&provider)));
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// Takes any certificate whose holder has its key.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
