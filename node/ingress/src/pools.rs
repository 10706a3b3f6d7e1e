//! Connections to endpoints: of HTTP/1.1 as many as are needed, kept for later; of HTTP/2 one that all share.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Protocol;
use crate::body::{Body, Received};
use crate::health::Health;
use crate::inside::{Ended, Inside, Server};
use crate::limits::Limits;
use crate::tls::TRUSTING;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the endpoint takes no connection")]
    Refused(#[source] io::Error),
    #[error("the endpoint did not take a connection in time")]
    Late,
    #[error("the endpoint does not speak TLS")]
    Tls(#[source] io::Error),
    #[error("the endpoint does not speak the protocol")]
    Protocol(#[source] hyper::Error),
}

/// Why there is no answer.
pub(crate) enum SendError {
    /// Nothing of the request went, and this is its body.
    NotSent(Body),
    /// Whether it went is not known.
    Lost(hyper::Error),
    /// A server of this process ended.
    Ended(Ended),
}

/// All endpoints that were spoken to.
pub(crate) struct Pools {
    limits: Arc<Limits>,
    inside: Arc<dyn Inside>,
    connections: Connections,
    endpoints: RwLock<HashMap<(SocketAddr, Protocol), Arc<Endpoint>>>,
}

/// What drives connections, to the end of the proxy at the most.
#[derive(Clone, Default)]
struct Connections {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Pools {
    pub(crate) fn new(limits: Arc<Limits>, inside: Arc<dyn Inside>) -> Self {
        Self { limits, inside, connections: Connections::default(), endpoints: RwLock::default() }
    }

    /// The endpoint at that address.
    pub(crate) fn endpoint(&self, address: SocketAddr, protocol: Protocol) -> Arc<Endpoint> {
        if let Some(known) = self.endpoints.read().get(&(address, protocol)) {
            return known.clone();
        }
        let made = || {
            Arc::new(Endpoint {
                address,
                protocol,
                health: Health::default(),
                limits: self.limits.clone(),
                inside: self.inside.clone(),
                connections: self.connections.clone(),
                idle: Mutex::default(),
                shared: tokio::sync::Mutex::default(),
            })
        };
        self.endpoints.write().entry((address, protocol)).or_insert_with(made).clone()
    }

    /// Forgets all other endpoints. Requests that are under way there go on.
    pub(crate) fn keep(&self, wanted: &HashSet<SocketAddr>) {
        self.endpoints.write().retain(|(address, _), _| wanted.contains(address));
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        self.connections.stop.cancel();
        self.connections.tasks.close();
        self.connections.tasks.wait().await;
    }
}

/// One endpoint, and the connections to it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) health: Health,
    limits: Arc<Limits>,
    inside: Arc<dyn Inside>,
    connections: Connections,
    /// The longest idle first.
    idle: Mutex<VecDeque<(Instant, http1::SendRequest<Body>)>>,
    shared: tokio::sync::Mutex<Option<http2::SendRequest<Body>>>,
}

impl Endpoint {
    /// A way to it: a connection, one that has served before only if that is `welcome`, or none where the server is of this process.
    pub(crate) async fn lease(self: &Arc<Self>, welcome: bool) -> Result<Lease, ConnectError> {
        if self.protocol == Protocol::Http1
            && let Some(server) = self.inside.at(self.address)
        {
            return Ok(Lease { endpoint: self.clone(), sender: Sender::Inside(server), is_reused: false });
        }
        match self.protocol {
            Protocol::Http1 | Protocol::Https => {
                let kept = if welcome { self.kept() } else { None };
                let is_reused = kept.is_some();
                let sender = match kept {
                    Some(sender) => sender,
                    None => self.open_http1().await?,
                };
                Ok(Lease { endpoint: self.clone(), sender: Sender::Http1(sender), is_reused })
            }
            Protocol::Http2 => {
                let mut shared = self.shared.lock().await;
                let open = shared.as_ref().filter(|sender| welcome && !sender.is_closed()).cloned();
                let is_reused = open.is_some();
                let sender = match open {
                    Some(sender) => sender,
                    None => shared.insert(self.open_http2().await?).clone(),
                };
                Ok(Lease { endpoint: self.clone(), sender: Sender::Http2(sender), is_reused })
            }
        }
    }

    /// The connection that was idle for the shortest time.
    fn kept(&self) -> Option<http1::SendRequest<Body>> {
        let mut idle = self.idle.lock();
        self.forget_old(&mut idle);
        while let Some((_, sender)) = idle.pop_back() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn forget_old(&self, idle: &mut VecDeque<(Instant, http1::SendRequest<Body>)>) {
        let now = Instant::now();
        let is_old = |since: &Instant| now.duration_since(*since) > self.limits.idle.1;
        while idle.front().is_some_and(|(since, _)| is_old(since)) {
            idle.pop_front();
        }
    }

    fn give_back(self: Arc<Self>, mut sender: http1::SendRequest<Body>) {
        if sender.is_ready() {
            self.put(sender);
        } else if !sender.is_closed() {
            // The end of the answer was read, but the connection has not been told yet.
            let Connections { tasks, stop } = self.connections.clone();
            tasks.spawn(async move {
                if stop.run_until_cancelled(sender.ready()).await.is_some_and(|ready| ready.is_ok()) {
                    self.put(sender);
                }
            });
        }
    }

    fn put(&self, sender: http1::SendRequest<Body>) {
        let mut idle = self.idle.lock();
        self.forget_old(&mut idle);
        if idle.len() < self.limits.idle.0 {
            idle.push_back((Instant::now(), sender));
        }
    }

    async fn open_http1(&self) -> Result<http1::SendRequest<Body>, ConnectError> {
        let stream = self.connect().await?;
        if self.protocol == Protocol::Https {
            return self.begin_http1(self.secured(stream).await?).await;
        }
        self.begin_http1(stream).await
    }

    async fn begin_http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<http1::SendRequest<Body>, ConnectError> {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(ConnectError::Protocol)?;
        self.drive(connection.with_upgrades());
        Ok(sender)
    }

    async fn secured(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, ConnectError> {
        let handshake = TRUSTING.connect(self.address.ip().into(), stream);
        let handshake = tokio::time::timeout(self.limits.connect, handshake).await;
        handshake.map_err(|_| ConnectError::Late)?.map_err(ConnectError::Tls)
    }

    async fn open_http2(&self) -> Result<http2::SendRequest<Body>, ConnectError> {
        let io = TokioIo::new(self.connect().await?);
        let handshake = http2::handshake(TokioExecutor::new(), io);
        let handshake = tokio::time::timeout(self.limits.connect, handshake).await;
        let (sender, connection) =
            handshake.map_err(|_| ConnectError::Late)?.map_err(ConnectError::Protocol)?;
        self.drive(connection);
        Ok(sender)
    }

    async fn connect(&self) -> Result<TcpStream, ConnectError> {
        let connecting = TcpStream::connect(self.address);
        let connected = tokio::time::timeout(self.limits.connect, connecting).await;
        let stream = connected.map_err(|_| ConnectError::Late)?.map_err(ConnectError::Refused)?;
        // Small messages must not wait for each other's acknowledgement; that it cannot be set is no harm.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Whoever waits for an answer is told how the connection ended.
    fn drive(&self, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
        let Connections { tasks, stop } = self.connections.clone();
        tasks.spawn(async move { drop(stop.run_until_cancelled(connection).await) });
    }
}

/// A connection that belongs to one request, or what needs none.
pub(crate) struct Lease {
    endpoint: Arc<Endpoint>,
    sender: Sender,
    /// Whether it served before; then it may have been closed before the request came.
    pub(crate) is_reused: bool,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
    Inside(Box<dyn Server>),
}

impl Lease {
    /// Sends a request; the head of the answer.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Response<Received>, SendError> {
        let answer = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
            Sender::Inside(server) => {
                let answer = server.answer(request).await.map_err(SendError::Ended)?;
                return Ok(answer.map(Received::Right));
            }
        };
        let answer = answer.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::NotSent(request.into_body()),
            None => SendError::Lost(error.into_error()),
        })?;
        Ok(answer.map(Received::Left))
    }

    /// Keeps the connection for others; its answer was read to the end.
    pub(crate) fn give_back(self) {
        if let Sender::Http1(sender) = self.sender {
            self.endpoint.give_back(sender);
        }
    }
}
