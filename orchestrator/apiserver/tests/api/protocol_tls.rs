//! What HTTP and TLS do beside the API: sessions that resume, many streams on one connection.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use wherry_apiserver::{Rotating, TlsConfig};

use crate::harness::{Api, CONFIG_MAPS};
use crate::logs::{Authority, chain, provider};

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

/// A connection and how its handshake went.
async fn connect(
    connector: &TlsConnector,
    address: std::net::SocketAddr,
    tasks: &mut JoinSet<()>,
) -> (Sender, Option<HandshakeKind>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    let stream = connector.connect(name, stream).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tasks.spawn(async move { connection.await.unwrap_or_default() });
    (sender, kind)
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://api{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_session_and_is_still_known() {
    let ca = Authority::new();
    let api = Api::start().await;
    api.config_map("a", &json!({})).await;
    let server = ca.sign("server", None);
    let tls =
        TlsConfig { cert: server.cert.into(), key: server.key.into(), client_ca: ca.pem.clone().into() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (handle, token) = (api.server.clone(), shutdown.clone());
    tasks.spawn(async move { handle.serve(listener, Rotating::fixed(tls), token).await.unwrap() });

    let (cert, key) = chain(&ca.sign("admin", Some("system:masters")));
    let config =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut config =
        config.unwrap().with_root_certificates(ca.roots()).with_client_auth_cert(cert, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));

    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (mut sender, kind) = connect(&connector, address, &mut tasks).await;
        kinds.push(kind.unwrap());
        assert_eq!(sender.send_request(get(CONFIG_MAPS)).await.unwrap().status(), 200);
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);

    // Many watches share one connection, and their events arrive though nothing else is written.
    let (mut sender, _) = connect(&connector, address, &mut tasks).await;
    let mut watches = Vec::new();
    for _ in 0..300 {
        let answer = sender
            .send_request(get(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", api.store.revision())));
        watches.push(answer.await.unwrap().into_body());
    }
    api.config_map("b", &json!({})).await;
    for watch in &mut watches {
        let line = watch.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(line.starts_with(b"{\"type\":\"ADDED\""));
    }
    shutdown.cancel();
    drop((sender, watches));
    tasks.join_next().await.unwrap().unwrap();
}
