//! Proxy over TLS: connections that leave HTTP, and secure backends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use wherry_apiserver::{Rotating, TlsConfig};

use crate::harness::{Api, PODS};
use crate::logs::{Authority, Identity, chain, provider};
use crate::proxy::{on_loopback, pod_at};

/// Serves the API over TLS until it is told to stop.
pub(crate) async fn serve(
    api: &Api,
    ca: &Authority,
    tasks: &mut JoinSet<()>,
) -> (SocketAddr, CancellationToken) {
    let server = ca.sign("server", None);
    let tls =
        TlsConfig { cert: server.cert.into(), key: server.key.into(), client_ca: ca.pem.clone().into() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let (handle, token) = (api.server.clone(), shutdown.clone());
    tasks.spawn(async move { handle.serve(listener, Rotating::fixed(tls), token).await.unwrap() });
    (address, shutdown)
}

/// Sends a request over HTTP/1.1 and TLS.
pub(crate) async fn send(
    (address, ca, who): (SocketAddr, &Authority, &Identity),
    tasks: &mut JoinSet<()>,
    request: Request<Body>,
) -> Response<Incoming> {
    let config =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let (cert, key) = chain(who);
    let config = config.unwrap().with_root_certificates(ca.roots()).with_client_auth_cert(cert, key).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tasks.spawn(async move { connection.with_upgrades().await.unwrap_or_default() });
    sender.send_request(request).await.unwrap()
}

/// Agrees to speak `echo`, and then says everything back in capitals; refuses anything else.
pub(crate) async fn shout(mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.headers().get("upgrade").is_none_or(|protocol| protocol != "echo") {
        return Ok(Response::builder().status(400).body(Body::from("speak echo")).unwrap());
    }
    assert!(request.headers().get("authorization").is_none());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::task::spawn_local(async move {
        let mut stream = TokioIo::new(upgraded.await.unwrap());
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..count].to_ascii_uppercase()).await.unwrap();
        }
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    Ok(response.header("connection", "Upgrade").header("upgrade", "echo").body(Body::empty()).unwrap())
}

async fn shouting(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.244.0.10:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new();
            let connection = connection.serve_connection(TokioIo::new(stream), service_fn(shout));
            tokio::task::spawn_local(connection.with_upgrades());
        }
    });
    address
}

pub(crate) fn upgrade(path: &str, protocol: &str) -> Request<Body> {
    Request::get(path)
        .header("host", "api")
        .header("connection", "Upgrade")
        .header("upgrade", protocol)
        .header("authorization", "Bearer secret")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn a_connection_that_leaves_http_is_joined_with_the_backends() {
    let local = tokio::task::LocalSet::new();
    let talk = local.run_until(async {
        let (ca, mut tasks) = (Authority::new(), JoinSet::new());
        let api = on_loopback().await;
        let backend = shouting(&mut tasks).await;
        pod_at(&api, "p", backend, false).await;
        let (address, shutdown) = serve(&api, &ca, &mut tasks).await;
        let admin = ca.sign("admin", Some("system:masters"));
        let path = format!("{PODS}/p/proxy/ws");

        let answer = send((address, &ca, &admin), &mut tasks, upgrade(&path, "echo")).await;
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.headers()["upgrade"], "echo");
        let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        for word in ["hello", "again"] {
            stream.write_all(word.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            let mut heard = vec![0; word.len()];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, word.to_uppercase().as_bytes());
        }

        // A backend that does not agree answers as to any other request.
        let refused = send((address, &ca, &admin), &mut tasks, upgrade(&path, "other")).await;
        assert_eq!(refused.status(), 400);

        // The end of the server is the end of the tunnel.
        shutdown.cancel();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap_or_default();
        assert!(rest.is_empty());
    });
    talk.await;
}

#[tokio::test]
async fn a_backend_with_any_certificate_is_reached_and_told_who_asks() {
    let (ca, mut tasks) = (Authority::new(), JoinSet::new());
    let api = on_loopback().await;
    let (cert, key) = chain(&Authority::new().sign("pod", None));
    let config =
        rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(cert, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.244.0.11:0").await.unwrap();
    let backend = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let seen = service_fn(async |request: Request<Incoming>| {
            let from = request.headers()["x-forwarded-for"].to_str().unwrap().to_owned();
            Ok::<_, Infallible>(Response::new(Body::from(format!("{:?}", [from, request.uri().to_string()]))))
        });
        let connection = hyper::server::conn::http1::Builder::new();
        connection.serve_connection(TokioIo::new(stream), seen).await.unwrap();
    });
    pod_at(&api, "p", backend, false).await;
    let (address, _shutdown) = serve(&api, &ca, &mut tasks).await;
    let admin = ca.sign("admin", Some("system:masters"));
    let request = Request::get(format!("{PODS}/https:p:main/proxy/x")).header("host", "api");
    let answer = send((address, &ca, &admin), &mut tasks, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 200);
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    let seen: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(seen, serde_json::json!(["127.0.0.1", "/x"]));
}
