//! A client that sends what it likes, byte for byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use wherry_tests::ApiServer;

/// Longest an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who talks to a server.
pub(crate) struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    /// The token in all requests, if any.
    token: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The code; 0 if the connection was closed without one.
    pub(crate) code: u16,
    /// All that came, or why nothing did.
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn body(&self) -> Value {
        let (_, body) = self.text.split_once("\r\n\r\n").unwrap_or_default();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }
}

fn tls(server: &ApiServer, identity: Option<(&str, &str)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&server.file("pki/ca.crt")) {
        roots.add(root.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let Some((chain, key)) = identity else { return builder.with_no_client_auth() };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    builder.with_client_auth_cert(chain, key).unwrap()
}

impl Client {
    /// Somebody with a token, or without one.
    pub(crate) fn new(server: &ApiServer, token: &str) -> Self {
        let address = server.url().strip_prefix("https://").unwrap().parse().unwrap();
        Self { address, config: Arc::new(tls(server, None)), token: token.to_owned() }
    }

    /// Somebody with a certificate, its chain and key as PEM.
    pub(crate) fn with_certificate(server: &ApiServer, chain: &str, key: &str) -> Self {
        Self { config: Arc::new(tls(server, Some((chain, key)))), ..Self::new(server, "") }
    }

    /// Somebody who speaks a protocol.
    pub(crate) fn speaking(mut self, protocol: &str) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![protocol.as_bytes().to_vec()];
        self
    }

    pub(crate) fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::from(self.address.ip());
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.config), name).unwrap(), stream)
    }

    /// Sends these bytes, and reads until the server closes.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut bytes = Vec::new();
        let sent = stream.write_all(request).and_then(|()| stream.flush());
        let read = sent.and_then(|()| stream.read_to_end(&mut bytes).map(|_| ()));
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if let (Err(error), true) = (read, bytes.is_empty()) {
            text = error.to_string();
        }
        let code = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
        Answer { code, text }
    }

    /// Sends a request with more lines in its head; the path goes out as it is.
    pub(crate) fn request(&self, method: &str, path: &str, lines: &str, body: &str) -> Answer {
        let host = self.address;
        let token = if self.token.is_empty() {
            String::new()
        } else {
            format!("Authorization: Bearer {}\r\n", self.token)
        };
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
        };
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{token}{length}{lines}\r\n"
        );
        self.raw(format!("{head}{body}").as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, "", &body.to_string())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, "", r#"{"gracePeriodSeconds": 0}"#)
    }
}
