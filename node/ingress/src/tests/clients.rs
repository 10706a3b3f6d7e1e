//! Clients of tests.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What a client got.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) text: String,
    pub(super) trailers: Option<HeaderMap>,
}

/// A client of one connection of HTTP/1.1.
pub(super) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        Self { sender, _connection: tasks }
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Got {
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        got(response).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Got {
        self.send(Request::get(path).header("host", "a.example").body(Full::default()).unwrap()).await
    }
}

/// `GET` on a connection of its own.
pub(super) async fn get(address: SocketAddr, path: &str) -> Got {
    Client::connect(address).await.get(path).await
}

/// A request by HTTP/2 without TLS, on a connection of its own.
pub(super) async fn by_http2(address: SocketAddr, request: Request<Full<Bytes>>) -> Got {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    got(sender.send_request(request).await.unwrap()).await
}

async fn got(response: http::Response<hyper::body::Incoming>) -> Got {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Got { status, text: String::from_utf8(body.to_bytes().into()).unwrap(), trailers }
}

/// Sends these bytes; all that comes back until the other side ends the connection.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
