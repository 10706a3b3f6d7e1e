//! The HTTPS endpoint of the node: `GET /containerLogs/NAMESPACE/POD/CONTAINER`, as kubelet answers it, also over WebSocket, and
//! the routes of [`crate::streams`] and [`crate::stats`].
//!
//! Who may ask for what is said in [`crate::access`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error};
use wherry_api::clock::Clock;
use wherry_runtime_api::{ContainerId, SandboxId};

use super::dir::LogDir;
use super::follow::Following;
use super::options::LogOptions;
use crate::access::{Access, Caller};
use crate::config::{EndpointTls, NodeEndpoint};
use crate::containers::Containers;
use crate::context::chain;
use crate::pods::PodIndex;
use crate::streams;

/// Blocks of a log on their way to the network.
const IN_FLIGHT: usize = 4;

/// Why the endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A certificate or key cannot be parsed.
    #[error("cannot parse the {what} of the node's endpoint")]
    Pem {
        /// Which.
        what: &'static str,
        /// The cause.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificates do not make a server.
    #[error("cannot set TLS up for the node's endpoint")]
    Tls(#[from] rustls::Error),
    /// The client authorities cannot be used.
    #[error("cannot verify clients of the node's endpoint")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
}

/// What answers need.
#[derive(Clone)]
pub(crate) struct LogState {
    /// The Pods of this node.
    pub(crate) pods: PodIndex,
    /// Where logs are.
    pub(crate) dir: LogDir,
    /// What runs.
    pub(crate) containers: Arc<Containers>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where senders of logs run.
    pub(crate) tasks: TaskTracker,
    /// When they end.
    pub(crate) shutdown: CancellationToken,
}

/// The endpoint, bound.
pub(crate) struct LogServer {
    listener: TcpListener,
    tls: watch::Receiver<Option<EndpointTls>>,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl LogServer {
    /// Binds the address.
    pub(crate) async fn bind(endpoint: &NodeEndpoint) -> Result<Self, ServerError> {
        let mut tls = endpoint.tls.clone();
        let acceptor = tls.borrow_and_update().as_ref().map(acceptor).transpose()?;
        let failed = |source| ServerError::Listen { address: endpoint.listen, source };
        let listener = TcpListener::bind(endpoint.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, tls, acceptor, address })
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Serves logs and the `others` to whom `access` lets them have, until the state's `shutdown`.
    pub(crate) async fn serve(mut self, state: LogState, others: Router, access: Access) {
        let shutdown = state.shutdown.clone();
        let tasks = state.tasks.clone();
        let router = router(state).merge(others);
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    self.renew();
                    let Some(acceptor) = self.acceptor.clone() else {
                        debug!("a connection is refused: the endpoint has no certificate yet");
                        continue;
                    };
                    let connection = connection(acceptor, stream, router.clone(), access.clone());
                    let shutdown = shutdown.clone();
                    tasks.spawn(async move { shutdown.run_until_cancelled(connection).await });
                }
                // Out of file descriptors, most likely: connections that end give some back.
                Err(error) => {
                    debug!(error = %error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Takes new certificates into use, if there are any and they are any good.
    fn renew(&mut self) {
        if !self.tls.has_changed().unwrap_or(false) {
            return;
        }
        match self.tls.borrow_and_update().as_ref().map(acceptor).transpose() {
            Ok(renewed) => self.acceptor = renewed,
            Err(failed) => {
                error!(error = %chain(&failed), "the endpoint goes on with the certificates it had");
            }
        }
    }
}

fn acceptor(endpoint: &EndpointTls) -> Result<TlsAcceptor, ServerError> {
    let pem = |what| move |source| ServerError::Pem { what, source };
    let certificates = |text: &str, what| -> Result<Vec<CertificateDer<'static>>, ServerError> {
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(pem(what))
    };
    let mut authorities = RootCertStore::empty();
    for authority in certificates(&endpoint.client_ca, "client authority")? {
        authorities.add(authority)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let key = PrivateKeyDer::from_pem_slice(endpoint.key.as_bytes()).map_err(pem("private key"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&endpoint.cert, "certificate")?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(tls: TlsAcceptor, stream: TcpStream, router: Router, access: Access) {
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return debug!(error = %error, "TLS handshake failed"),
    };
    let peer = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let caller = Caller::of(peer);
    let router = router.layer(middleware::from_fn(move |request: Request, next: middleware::Next| {
        let (access, caller) = (access.clone(), caller.clone());
        async move {
            match access.check(&caller, request.method(), request.uri().path(), request.headers()).await {
                Ok(()) => next.run(request).await,
                Err(answer) => answer,
            }
        }
    }));
    let service = TowerToHyperService::new(router);
    let served = Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(error = %error, "connection ended");
    }
}

fn refuse(code: StatusCode, message: impl Into<String>) -> Response {
    (code, message.into()).into_response()
}

/// The routes of the endpoint.
pub(super) fn router(state: LogState) -> Router {
    Router::new().route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs)).with_state(state)
}

async fn container_logs(
    State(state): State<LogState>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let options = match LogOptions::parse(query.as_deref().unwrap_or_default(), state.clock.now()) {
        Ok(options) => options,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let Some(pod) = state.pods.get(&namespace, &name) else {
        return refuse(StatusCode::NOT_FOUND, format!("pod {name:?} not found"));
    };
    if crate::pods::find_container(&pod, &container).is_none() {
        let message = format!("container {container:?} not found in pod {name:?}");
        return refuse(StatusCode::NOT_FOUND, message);
    }
    let attempts = state.dir.attempts(&pod, &container);
    let wanted = attempts.into_iter().nth(usize::from(options.previous));
    let Some((attempt, path)) = wanted else {
        return refuse(StatusCode::BAD_REQUEST, missing(&pod, &container, options.previous));
    };
    let sandbox = SandboxId(pod.metadata.uid.clone().unwrap_or_default());
    let id = ContainerId { sandbox, name: container, attempt };
    let following = Following { containers: state.containers.clone(), id, options };
    let (sender, mut receiver) = mpsc::channel(IN_FLIGHT);
    let shutdown = state.shutdown.clone();
    state.tasks.spawn(async move { shutdown.run_until_cancelled(following.run(&path, sender)).await });
    if streams::wants_pieces(request.headers()) {
        let answer = streams::send_pieces(request, receiver, &state.tasks, &state.shutdown);
        return answer.unwrap_or_else(IntoResponse::into_response);
    }
    let stream = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(stream)).into_response()
}

/// Why there is no log.
fn missing(pod: &Pod, container: &str, previous: bool) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if previous {
        return format!("previous terminated container {container:?} in pod {name:?} not found");
    }
    let status = pod.status.as_ref();
    let lists = status.map(|status| {
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses]
    });
    let all = lists.into_iter().flatten().flatten().flatten();
    let reason = |status: &ContainerStatus| status.state.as_ref()?.waiting.as_ref()?.reason.clone();
    let reason = all.filter(|status| status.name == container).find_map(reason);
    let reason = reason.unwrap_or_else(|| "ContainerCreating".to_owned());
    format!("container {container:?} in pod {name:?} is waiting to start: {reason}")
}
