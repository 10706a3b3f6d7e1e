//! Serving over TLS: HTTP/1.1 and HTTP/2, users by client certificate.
//!
//! New certificates count from the next connection on. Who is known by a certificate that ends while the connection lasts
//! is nobody from then on.
//!
//! ```text
//! accept -> TLS handshake -> identity from the certificate -> requests -> (closed)
//!                                                               | shutdown
//!                                                               v
//!                            watches end, requests under way are answered, then (closed)
//! ```

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::auth::Expired;
use crate::batched::{Batched, batching};
use crate::client_certificates::{Believed, Shown};
use crate::node_client::certificates;
use crate::proxy::Peer;
use crate::rotating::{Rotating, TlsTime};
use crate::server::ApiServer;
use crate::state::State;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests under way may take after shutdown began.
const DRAIN: Duration = Duration::from_secs(10);
/// How long accepting rests after the machine had no file descriptor for another connection.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// How many requests, most of them watches, one HTTP/2 connection may carry at a time.
const STREAMS: u32 = 1000;
/// How much of a request body a client may send before it is read.
const STREAM_WINDOW: u32 = 1 << 20;
/// How much of an answer waits in a stream for a client that reads slowly.
const SEND_BUFFER: usize = 256 * 1024;
/// How long an HTTP/2 connection may be silent before it is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The certificates to serve with, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate chain.
    pub cert: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// Who signs the certificates of clients.
    pub client_ca: Vec<u8>,
}

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificates cannot be used.
    #[error("the server's {what} cannot be used: {why}")]
    Tls {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

fn unusable<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> ServeError {
    move |error| ServeError::Tls { what, why: error.to_string() }
}

/// How connections are taken, and what the certificates that clients show make of them.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    believed: Arc<Believed>,
}

fn door(tls: &TlsConfig, state: &State) -> Result<Door, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (clock, proxies) = (&state.clock, state.front_proxies.as_ref());
    let (believed, verifier) =
        Believed::new(&tls.client_ca, proxies, clock).map_err(unusable("client CA"))?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key).map_err(unusable("key"))?;
    let mut config = ServerConfig::builder_with_details(provider, TlsTime::of(clock))
        .with_safe_default_protocol_versions()
        .map_err(unusable("protocol versions"))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&tls.cert).map_err(unusable("certificate"))?, key)
        .map_err(unusable("certificate"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Clients that come back present a ticket instead of their certificate; the server remembers nothing.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(unusable("ticket key"))?;
    Ok(Door { acceptor: TlsAcceptor::from(Arc::new(config)), believed: Arc::new(believed) })
}

impl ApiServer {
    /// Serves until `shutdown`; then ends watches, answers what is under way, and returns.
    pub async fn serve(
        &self,
        listener: TcpListener,
        mut tls: Rotating<TlsConfig>,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let mut door = door(&tls.take(), self.state())?;
        let graceful = GracefulShutdown::new();
        let tasks = &self.state().tasks;
        loop {
            let stream = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(EXHAUSTED).await;
                        continue;
                    }
                },
            };
            renew(&mut door, &mut tls, self.state());
            let server = self.clone();
            tasks.spawn(connection(server, door.clone(), stream, graceful.watcher()));
        }
        drop(listener);
        self.state().stopping.cancel();
        tasks.close();
        // Each connection holds a watcher, so this waits for all of them.
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections were cut while requests were under way");
        }
        self.closed();
        Ok(())
    }
}

/// Takes new certificates into use, if there are any and they are any good.
fn renew(door: &mut Door, tls: &mut Rotating<TlsConfig>, state: &State) {
    if !tls.changed() {
        return;
    }
    match self::door(&tls.take(), state) {
        Ok(renewed) => *door = renewed,
        Err(error) => tracing::error!(%error, "the server goes on with the certificates it had"),
    }
}

/// The protocols as they are spoken: many watches on one connection, and dead peers found out.
fn protocols() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(4 * STREAM_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE / 2);
    builder
}

/// One connection, from handshake to end.
async fn connection(server: ApiServer, door: Door, stream: TcpStream, watcher: Watcher) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot disable Nagle's algorithm");
    }
    let handshake = tokio::time::timeout(HANDSHAKE, door.acceptor.accept(stream)).await;
    let stream = match handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
    };
    let Shown { user, ends, proxy } = door.believed.shown(stream.get_ref().1.peer_certificates());
    let peer = stream.get_ref().0.peer_addr().ok().map(|address| Peer(address.ip()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let mut user = user.clone();
        if ends.is_some_and(|ends| ends <= server.state().clock.now()) {
            user = None;
            request.extensions_mut().insert(Expired);
        } else if let Some(proxy) = &proxy {
            user = proxy.take(request.headers_mut()).or(user);
        }
        let server = server.clone();
        // Boxed, because the connection moves it several times before it runs.
        Box::pin(async move { Ok::<_, Infallible>(server.answer(user, request.map(Body::new)).await) })
    });
    let builder = protocols();
    let stream = Batched::new(stream);
    let sender = stream.handle();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = batching(sender, watcher.watch(connection)).await {
        tracing::debug!(error, "a connection ended early");
    }
}
