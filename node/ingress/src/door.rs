//! A port that is listened on: takes connections, speaks TLS where it is wanted, and drains when it is told to stop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::crypto::CryptoProvider;
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::server_config;
use crate::limits::Limits;
use crate::proxy::{Client, Proxy};
use crate::quiet::Quiet;
use crate::site::Site;

/// How long it waits when no connection can be taken, mostly because too many files are open.
const PAUSE: Duration = Duration::from_millis(20);

/// A port that is listened on.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<ConfigBuilder<ServerConfig, WantsVerifier>>,
}

impl Door {
    /// Listens from when this returns; connections are taken by [`Self::serve`]. It speaks TLS if it is told by which means.
    pub async fn bind(address: SocketAddr, tls: Option<Arc<CryptoProvider>>) -> io::Result<Self> {
        let versions =
            |provider| ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map(versions).transpose().map_err(io::Error::other)?;
        let listener = TcpListener::bind(address).await?;
        Ok(Self { address: listener.local_addr()?, listener, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves what the site says at the time of each request, until `stop`; then requests that are under way may end.
    pub async fn serve(self, proxy: Arc<Proxy>, site: watch::Receiver<Arc<Site>>, stop: CancellationToken) {
        let tls = self.tls.map(|builder| TlsAcceptor::from(Arc::new(server_config(builder, site.clone()))));
        let builder = http(proxy.limits());
        let (limits, port) = (proxy.limits().clone(), self.address.port());
        let hall = Arc::new(Hall { port, tls, builder, site, proxy, stop });
        let (tasks, abort) = (TaskTracker::new(), CancellationToken::new());
        let room = Arc::new(Semaphore::new(limits.connections));
        loop {
            let next = async { (room.clone().acquire_owned().await, self.listener.accept().await) };
            let (place, accepted) = tokio::select! {
                () = hall.stop.cancelled() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, from)) => {
                    let (hall, abort) = (hall.clone(), abort.clone());
                    tasks.spawn(async move {
                        abort.run_until_cancelled(Box::pin(hall.take(stream, from))).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(self.listener);
        tasks.close();
        if tokio::time::timeout(limits.drain, tasks.wait()).await.is_err() {
            abort.cancel();
            tasks.wait().await;
        }
    }
}

/// What all connections of a door share.
struct Hall {
    port: u16,
    tls: Option<TlsAcceptor>,
    builder: auto::Builder<TokioExecutor>,
    site: watch::Receiver<Arc<Site>>,
    proxy: Arc<Proxy>,
    stop: CancellationToken,
}

impl Hall {
    async fn take(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        self.proxy.metrics().connected();
        // Small messages must not wait for each other's acknowledgement; that it cannot be set is no harm.
        let _ = stream.set_nodelay(true);
        let limits = self.proxy.limits();
        let stream = Quiet::new(stream, limits.quiet, limits.stalled);
        let client = Client { address: from.ip(), port: self.port, is_secure: self.tls.is_some() };
        let Some(tls) = &self.tls else { return self.serve(stream, client).await };
        match tokio::time::timeout(limits.head_time, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream, client).await,
            Ok(Err(error)) => tracing::debug!(client = %from, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(client = %from, "a TLS handshake took too long"),
        }
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, client: Client) {
        let (proxy, site) = (self.proxy.clone(), self.site.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, site) = (proxy.clone(), site.borrow().clone());
            async move { Ok::<_, Infallible>(proxy.answer(&site, client, request).await) }
        });
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(client = %client.address, error, "a connection of a client broke off");
        }
    }
}

fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.headers)
        .max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX));
    builder
}
