//! One look at a container: a command, an HTTP request, a TCP connection or a gRPC call.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use wherry_ingress::TRUSTING;
use wherry_wasm_runtime::Listening;

use super::grpc::GrpcCheck;
use crate::commands::Commands;
use crate::context::chain;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// A command in the container ends with 0.
    Exec(Vec<String>),
    /// An HTTP request is answered with a status from 200 to 399.
    Http(HttpCheck),
    /// A connection is accepted.
    Tcp {
        /// The host to connect to, if it is not the pod.
        host: Option<IpAddr>,
        /// The port.
        port: u16,
    },
    /// A gRPC server says that it serves.
    Grpc(GrpcCheck),
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpCheck {
    /// Whether to use TLS; the certificate is not verified, as kubelet does not.
    pub(crate) tls: bool,
    /// The host to connect to, if it is not the pod.
    pub(crate) host: Option<IpAddr>,
    /// The port.
    pub(crate) port: u16,
    /// The path with its query.
    pub(crate) path: String,
    /// Additional headers.
    pub(crate) headers: Vec<(String, String)>,
}

/// Where a container is found.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The pod's address.
    pub(crate) ip: IpAddr,
    /// Where its commands run.
    pub(crate) commands: Commands,
    /// Servers of this process, which are asked without a connection.
    pub(crate) listening: Listening,
}

/// A look that did not succeed; the text is the sentence kubelet would print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// The container did not do as it should.
    Failed(String),
    /// There was no looking, which says nothing of the container.
    Errored(String),
}

impl Check {
    /// Looks once.
    pub(crate) async fn run(&self, place: &Place, timeout: Duration) -> Result<(), Miss> {
        match self {
            Self::Exec(command) => exec(&place.commands, command, timeout).await,
            Self::Http(check) => check.run(place, timeout).await.map_err(Miss::Failed),
            Self::Grpc(check) => {
                check.run(SocketAddr::new(place.ip, check.port), timeout).await.map_err(Miss::Failed)
            }
            Self::Tcp { host, port } => {
                let address = SocketAddr::new(host.unwrap_or(place.ip), *port);
                if place.listening.at(address).is_some() {
                    return Ok(());
                }
                match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => {
                        Err(Miss::Failed(format!("dial tcp {address}: {}", connect_error(&error))))
                    }
                    Err(_) => Err(Miss::Failed(format!("dial tcp {address}: i/o timeout"))),
                }
            }
        }
    }
}

async fn exec(commands: &Commands, command: &[String], timeout: Duration) -> Result<(), Miss> {
    match tokio::time::timeout(timeout, commands.run(command)).await {
        Ok(Ok(outcome)) if outcome.code == 0 => Ok(()),
        Ok(Ok(outcome)) => Err(Miss::Failed(outcome.output)),
        Ok(Err(error)) => Err(Miss::Errored(chain(&error))),
        Err(_) => Err(Miss::Failed(format!("command {:?} timed out", command.join(" ")))),
    }
}

impl HttpCheck {
    /// Sends the request; any answer will do.
    pub(crate) async fn call(&self, place: &Place) -> Result<(), String> {
        let address = SocketAddr::new(self.host.unwrap_or(place.ip), self.port);
        self.request(address, &place.listening).await.map(drop)
    }

    async fn run(&self, place: &Place, timeout: Duration) -> Result<(), String> {
        let address = SocketAddr::new(self.host.unwrap_or(place.ip), self.port);
        let scheme = if self.tls { "https" } else { "http" };
        let url = format!("{scheme}://{address}{}", self.path);
        match tokio::time::timeout(timeout, self.request(address, &place.listening)).await {
            Ok(Ok(status)) if (200..400).contains(&status.as_u16()) => Ok(()),
            Ok(Ok(status)) => Err(format!("HTTP probe failed with statuscode: {}", status.as_u16())),
            Ok(Err(reason)) => Err(format!("Get {url:?}: {reason}")),
            Err(_) => Err(format!(
                "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            )),
        }
    }

    async fn request(&self, address: SocketAddr, listening: &Listening) -> Result<StatusCode, String> {
        if let (false, Some(listener)) = (self.tls, listening.at(address)) {
            let answer = listener.answer(self.build(address)?).await;
            return answer.map(|answer| answer.status()).map_err(|error| error.to_string());
        }
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("dial tcp {address}: {}", connect_error(&error)))?;
        if !self.tls {
            return self.exchange(stream, address).await;
        }
        let name = ServerName::IpAddress(address.ip().into());
        // kubelet does not verify what a probed container shows, either. A probe sends no secrets.
        let stream = TRUSTING.connect(name, stream).await.map_err(|error| error.to_string())?;
        self.exchange(stream, address).await
    }

    async fn exchange<S>(&self, stream: S, address: SocketAddr) -> Result<StatusCode, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let request = self.build(address)?;
        let response = async { sender.send_request(request).await.map(|response| response.status()) };
        // The connection only makes progress while it is polled; it is dropped with the answer's head.
        let mut connection = std::pin::pin!(connection);
        let mut response = std::pin::pin!(response);
        tokio::select! {
            biased;
            answer = &mut response => answer.map_err(|error| error.to_string()),
            ended = &mut connection => match ended {
                Err(error) => Err(error.to_string()),
                Ok(()) => response.await.map_err(|error| error.to_string()),
            },
        }
    }

    fn build(&self, address: SocketAddr) -> Result<Request<Empty<Bytes>>, String> {
        let mut request = Request::builder()
            .uri(&self.path)
            .header(header::USER_AGENT, "kube-probe/1.36")
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close");
        let headers = request.headers_mut().ok_or("the path is not a valid URI")?;
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("invalid header name {name:?}"))?;
            let value =
                HeaderValue::from_str(value).map_err(|_| format!("invalid value of header {name}"))?;
            headers.insert(name, value);
        }
        if !headers.contains_key(header::HOST) {
            let host = HeaderValue::from_str(&address.to_string()).map_err(|error| error.to_string())?;
            headers.insert(header::HOST, host);
        }
        request.body(Empty::new()).map_err(|error| error.to_string())
    }
}

/// The words of Go's net package, which people search for.
pub(super) fn connect_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}
