//! A client over HTTP/2 and TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;

use crate::server::Server;

const WINDOW: u32 = 8 << 20;

/// One connection.
#[derive(Clone)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: Arc<str>,
}

/// What connects to a server as its administrator.
pub(crate) fn connector(server: &Server) -> TlsConnector {
    let identities = &server.identities;
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(identities.ca.as_bytes()).expect("a certificate");
    roots.add(ca).expect("a certificate");
    let cert = CertificateDer::from_pem_slice(identities.client.cert.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identities.client.key.as_bytes()).expect("a key");
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![cert], key)
        .expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A connection on which nothing has been said yet.
pub(crate) async fn handshake(connector: &TlsConnector, server: &Server) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(server.address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    connector.connect(name, stream).await.expect("a handshake")
}

impl Client {
    /// Connections to a server; their tasks live on `tasks`.
    pub(crate) async fn connect(server: &Server, count: usize, tasks: &TaskTracker) -> Vec<Self> {
        let connector = connector(server);
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = handshake(&connector, server).await;
            let mut builder = Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(WINDOW).initial_connection_window_size(2 * WINDOW);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a handshake");
            tasks.spawn(connection);
            clients.push(Self { sender, host: server.address.to_string().into() });
        }
        clients
    }

    /// Sends a request; the answer's body is still to be read.
    pub(crate) async fn open(
        &mut self,
        method: &str,
        path: &str,
        accept_gzip: bool,
        body: &str,
    ) -> Response<Incoming> {
        let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.host))
            .header("accept", "application/json")
            .header("content-type", media);
        if accept_gzip {
            request = request.header("accept-encoding", "gzip");
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        self.sender.ready().await.expect("a connection");
        self.sender.send_request(request.body(body).expect("a request")).await.expect("an answer")
    }

    /// Sends a request and reads the answer, which must say that it worked. Answers how many bytes it had.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> usize {
        self.exchange((method, path, body), false).await
    }

    /// The same, with an answer that may be compressed.
    pub(crate) async fn send_gzip(&mut self, path: &str) -> usize {
        self.exchange(("GET", path, ""), true).await
    }

    async fn exchange(&mut self, (method, path, body): (&str, &str, &str), gzip: bool) -> usize {
        let response = self.open(method, path, gzip, body).await;
        let code = response.status();
        let mut body = response.into_body();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.expect("a body");
            size += frame.data_ref().map_or(0, Bytes::len);
            assert!(code.is_success(), "{method} {path}: {code} {:?}", frame.data_ref());
        }
        size
    }
}
