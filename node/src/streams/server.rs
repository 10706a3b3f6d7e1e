//! Requests for streams: `/exec`, `/attach` and `/portForward`, as kubelet answers them.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;
use wherry_runtime_api::ExecSpec;

use super::forward::{self, Place, Target};
use super::options::{Change, Options, STREAM_PROTOCOL};
use super::session::{Ends, Session};
use super::{channels, exec, pieces, port_channels, remote, tunnel, websocket};
use crate::containers::{Containers, Running};
use crate::context::chain;
use crate::network::PodNetwork;
use crate::pods::{PodIndex, find_container};
use crate::runtimes::Runtimes;

/// What answers need.
#[derive(Clone)]
pub(crate) struct StreamState {
    /// The Pods of this node.
    pub(crate) pods: PodIndex,
    /// What runs.
    pub(crate) containers: Arc<Containers>,
    /// Where commands run.
    pub(crate) runtimes: Runtimes,
    /// Where ports are.
    pub(crate) network: Arc<dyn PodNetwork>,
    /// Where streams are carried.
    pub(crate) tasks: TaskTracker,
    /// When they end.
    pub(crate) shutdown: CancellationToken,
}

/// The routes.
pub(crate) fn router(state: StreamState) -> Router {
    Router::new()
        .route("/exec/{namespace}/{pod}/{container}", any(serve_exec))
        .route("/attach/{namespace}/{pod}/{container}", any(serve_attach))
        .route("/portForward/{namespace}/{pod}", any(serve_forward))
        .with_state(state)
}

type Refusal = (StatusCode, String);
type Place3 = Path<(String, String, String)>;

async fn serve_exec(
    State(state): State<StreamState>,
    Path((namespace, pod, container)): Place3,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let options = parse(query.as_deref())?;
    let (_, running) = state.running(&namespace, &pod, &container)?;
    let (change, wanted) = (upgrade(request)?, options.wanted);
    let spec = ExecSpec { command: options.command, stdin: wanted.stdin, terminal: wanted.tty };
    let runtime = state.runtimes.get(running.handler).clone();
    state.command(change, wanted, move |session| async move {
        exec::run(&*runtime, &running.status.id, &spec, session).await;
    })
}

async fn serve_attach(
    State(state): State<StreamState>,
    Path((namespace, name, container)): Place3,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let wanted = parse(query.as_deref())?.wanted;
    let (pod, running) = state.running(&namespace, &name, &container)?;
    let asked = upgrade(request)?;
    let spec = find_container(&pod, &container).map(Cow::into_owned).unwrap_or_default();
    let stdin = wanted.stdin && spec.stdin == Some(true);
    let runtime = state.runtimes.get(running.handler);
    match runtime.attach(&running.status.id, stdin).await {
        Ok(execution) => {
            // Input that ends for good is the program's concern, any other end of it that of whoever is attached.
            let ends_with_input = stdin && (spec.stdin_once != Some(true) || spec.tty == Some(true));
            state.command(asked, wanted, move |session| exec::attach(execution, ends_with_input, session))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, chain(&error))),
    }
}

async fn serve_forward(
    State(state): State<StreamState>,
    Path((namespace, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let pod = state.pod(&namespace, &name)?;
    let target = state.target(&pod, &name)?;
    let asked = upgrade(request)?;
    let protocols = || asked.change.protocols(&asked.headers);
    match asked.change {
        Change::WebSocket if protocols().any(|protocol| protocol == forward::TUNNEL) => {
            let response = asked.accept(forward::TUNNEL)?;
            state.carry(asked.client, move |io| async move {
                let (inside, carrying) = tunnel::open(io);
                tokio::join!(forward::carry(inside, target), carrying);
            });
            Ok(response)
        }
        Change::WebSocket => {
            let ports = port_channels::ports(query.as_deref().unwrap_or_default());
            let ports = ports.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
            let version = channels::Version::choose(protocols(), &channels::PORTS);
            let version = version.ok_or_else(|| unknown_protocol(&asked))?;
            let response = asked.accept(version.name)?;
            state.carry(asked.client, move |io| port_channels::carry(io, version, ports, target));
            Ok(response)
        }
        Change::Spdy if protocols().any(|protocol| protocol == forward::PROTOCOL) => {
            let response = asked.accept(forward::PROTOCOL)?;
            state.carry(asked.client, move |io| forward::carry(io, target));
            Ok(response)
        }
        Change::Spdy => Err(unknown_protocol(&asked)),
    }
}

/// Whether a request for something that flows wants it over WebSocket.
pub(crate) fn wants_pieces(headers: &HeaderMap) -> bool {
    Change::of(headers) == Some(Change::WebSocket)
}

/// Answers such a request with these pieces.
pub(crate) fn send_pieces(
    request: Request,
    flow: mpsc::Receiver<io::Result<Bytes>>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Response, (StatusCode, String)> {
    let asked = upgrade(request)?;
    let version = pieces::Version::choose(asked.change.protocols(&asked.headers));
    let version = version.ok_or_else(|| unknown_protocol(&asked))?;
    let response = asked.accept(version.name)?;
    carry((tasks, shutdown), asked.client, move |io| pieces::carry(io, version, flow));
    Ok(response)
}

fn parse(query: Option<&str>) -> Result<Options, Refusal> {
    Options::parse(query.unwrap_or_default()).map_err(|error| (StatusCode::BAD_REQUEST, error.to_owned()))
}

/// A request that wants to change to another protocol.
struct Asked {
    change: Change,
    headers: HeaderMap,
    client: OnUpgrade,
}

fn upgrade(mut request: Request) -> Result<Asked, Refusal> {
    let missing =
        || (StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request".to_owned());
    let change = Change::of(request.headers()).ok_or_else(missing)?;
    let client = hyper::upgrade::on(&mut request);
    Ok(Asked { change, headers: std::mem::take(request.headers_mut()), client })
}

fn unknown_protocol(asked: &Asked) -> Refusal {
    let protocols: Vec<&str> = asked.change.protocols(&asked.headers).collect();
    (
        StatusCode::FORBIDDEN,
        format!("unable to upgrade: unable to negotiate protocol: client supports {protocols:?}"),
    )
}

impl Asked {
    /// The answer that changes to this protocol.
    fn accept(&self, protocol: &'static str) -> Result<Response, Refusal> {
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        *response.body_mut() = Body::empty();
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let name = match self.change {
            Change::WebSocket => {
                let key = self.headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
                let accept = key.and_then(|key| HeaderValue::try_from(websocket::accept(key)).ok());
                let missing = || (StatusCode::BAD_REQUEST, "the request has no Sec-WebSocket-Key".to_owned());
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.ok_or_else(missing)?);
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                header::SEC_WEBSOCKET_PROTOCOL
            }
            Change::Spdy => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
                HeaderName::from_static(STREAM_PROTOCOL)
            }
        };
        if !protocol.is_empty() {
            headers.insert(name, HeaderValue::from_static(protocol));
        }
        Ok(response)
    }
}

impl StreamState {
    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Pod>, Refusal> {
        let missing = || (StatusCode::NOT_FOUND, format!("pod {name:?} not found"));
        self.pods.get(namespace, name).ok_or_else(missing)
    }

    /// The newest attempt at a container, if its program runs.
    fn running(&self, namespace: &str, name: &str, container: &str) -> Result<(Arc<Pod>, Running), Refusal> {
        let pod = self.pod(namespace, name)?;
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let mut attempts = self.containers.of_pod(uid).into_iter().rev();
        let running = attempts.find(|running| running.status.id.name == container && running.is_running());
        let missing = || (StatusCode::INTERNAL_SERVER_ERROR, format!("container not found ({container:?})"));
        Ok((pod, running.ok_or_else(missing)?))
    }

    /// Where the ports of a Pod are.
    fn target(&self, pod: &Pod, name: &str) -> Result<Target, Refusal> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
        let place = match self.network.namespace(uid) {
            _ if host_network => Some(Place::Address(std::net::Ipv4Addr::LOCALHOST.into())),
            Some(path) => Some(Place::Namespace(path)),
            None => ip.and_then(|ip| ip.parse().ok()).map(Place::Address),
        };
        let missing = || (StatusCode::INTERNAL_SERVER_ERROR, format!("pod {name:?} has no address"));
        Ok(Target { place: place.ok_or_else(missing)?, pod: format!("{name}, uid {uid}") })
    }

    /// Answers a request for a session and runs `work` with it.
    fn command<F: Future<Output = ()> + Send + 'static>(
        &self,
        asked: Asked,
        wanted: remote::Wanted,
        work: impl FnOnce(Session) -> F + Send + 'static,
    ) -> Result<Response, Refusal> {
        match asked.change {
            Change::WebSocket => {
                let protocols = asked.change.protocols(&asked.headers);
                let version = channels::Version::choose(protocols, &channels::COMMANDS);
                let version = version.ok_or_else(|| unknown_protocol(&asked))?;
                let response = asked.accept(version.name)?;
                self.converse(asked.client, work, move |io, ends| channels::carry(io, version, ends));
                Ok(response)
            }
            Change::Spdy => {
                let version = remote::Version::choose(asked.change.protocols(&asked.headers));
                let version = version.ok_or_else(|| unknown_protocol(&asked))?;
                let response = asked.accept(version.name)?;
                self.converse(asked.client, work, move |io, ends| remote::carry(io, version, wanted, ends));
                Ok(response)
            }
        }
    }

    fn converse<W, C>(
        &self,
        client: OnUpgrade,
        work: impl FnOnce(Session) -> W + Send + 'static,
        carry: impl FnOnce(TokioIo<Upgraded>, Ends) -> C + Send + 'static,
    ) where
        W: Future<Output = ()> + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        let (session, ends) = Session::new();
        self.carry(client, move |io| async move {
            tokio::join!(carry(io, ends), work(session));
        });
    }

    fn carry<F: Future<Output = ()> + Send + 'static>(
        &self,
        client: OnUpgrade,
        work: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
    ) {
        carry((&self.tasks, &self.shutdown), client, work);
    }
}

/// Takes a connection over once its client has the answer.
fn carry<F: Future<Output = ()> + Send + 'static>(
    (tasks, shutdown): (&TaskTracker, &CancellationToken),
    client: OnUpgrade,
    work: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
) {
    let shutdown = shutdown.clone();
    let carrying = async move {
        match client.await {
            Ok(io) => Box::pin(work(TokioIo::new(io))).await,
            Err(error) => debug!(%error, "a connection could not be given to its stream"),
        }
    };
    tasks.spawn(async move { shutdown.run_until_cancelled(carrying).await });
}
