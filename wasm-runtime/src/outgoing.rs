//! Requests of guests, over connections the container keeps.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::connector::{ConnectError, Connector, ToChosen};
use crate::handed;
use crate::paths::Paths;
use crate::way::{Way, Ways};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Unused connections kept per host.
const IDLE_PER_HOST: usize = 64;
/// What a guest that sets no timeouts gets for each.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

type Finished = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(Response<WasiBody>, Finished), Error>;

/// The HTTP client of one container; its instances share the connections. Clones are the same.
#[derive(Clone)]
pub(crate) struct Outgoing(Arc<Client>);

struct Client {
    connector: Connector,
    paths: Arc<dyn Paths>,
    clients: Mutex<Clients>,
    /// None: all goes by the network.
    ways: Option<Ways>,
}

/// Those who keep connections.
#[derive(Clone)]
struct Clients {
    /// Under which rules their connections were made.
    rules: u64,
    by_network: legacy::Client<Connector, WasiBody>,
    to_chosen: legacy::Client<ToChosen, WasiBody>,
}

impl Clients {
    fn new(connector: &Connector, rules: u64) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(IDLE_PER_HOST);
        let to_chosen = builder.build(ToChosen(connector.clone()));
        Self { rules, by_network: builder.build(connector.clone()), to_chosen }
    }
}

impl Outgoing {
    /// A client whose connections are made so, for requests that need one, and kept while the rules of the network stay as they are.
    pub(crate) fn new(connector: Connector, paths: Arc<dyn Paths>, ways: Option<Ways>) -> Self {
        let clients = Mutex::new(Clients::new(&connector, paths.rules()));
        Self(Arc::new(Client { connector, paths, clients, ways }))
    }

    /// Sends a request, and has a response as it begins.
    pub(crate) async fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        // The pool may connect or not, so both allowances are one.
        let head = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT)
            + options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let begun = timeout(head, self.0.begin(request)).await;
        let response = begun.map_err(|_| Error::ConnectionReadTimeout)??;
        Ok(response.map(|body| Timed::new(body, between_bytes).boxed_unsync()))
    }
}

impl Client {
    /// Those for the rules that there are now. Requests that are under way go on with those they have.
    fn clients(&self) -> Clients {
        let mut clients = self.clients.lock();
        let rules = self.paths.rules();
        if clients.rules != rules {
            *clients = Clients::new(&self.connector, rules);
        }
        clients.clone()
    }

    /// The response as it begins.
    async fn begin(&self, mut request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let way = match &self.ways {
            Some(ways) => ways.way(&request).map_err(|error| told(&error))?,
            None => Way::Network,
        };
        let response = match way {
            Way::Handed(service, permit) => {
                let response = handed::hand_over(&service, request).await?;
                // It counts as a connection as long as it is read.
                let keeping = move |error| {
                    let _ = &permit;
                    error
                };
                return Ok(response.map(|body| body.map_err(keeping).boxed_unsync()));
            }
            Way::Chosen(endpoint) => {
                *request.uri_mut() = at(request.uri(), endpoint)?;
                self.clients().to_chosen.request(request).await
            }
            Way::Network => self.clients().by_network.request(request).await,
        };
        let response = response.map_err(|error| classify(&error))?;
        Ok(response.map(|body| body.map_err(Error::from).boxed_unsync()))
    }
}

/// The same at an endpoint; what the request says of its host stays.
fn at(uri: &Uri, endpoint: SocketAddr) -> Result<Uri, Error> {
    let mut parts = uri.clone().into_parts();
    parts.authority = endpoint.to_string().parse().ok();
    Uri::from_parts(parts).map_err(|_| Error::HttpRequestUriInvalid)
}

impl WasiHttpHooks for Outgoing {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Finished,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let client = self.clone();
        Box::new(async move {
            let response = client.send(request, options.unwrap_or_default()).await?;
            let finished: Finished = Box::new(std::future::ready(Ok(())));
            Ok((response, finished))
        })
    }
}

/// The error a guest sees.
fn classify(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause = StdError::source(error);
    while let Some(current) = cause {
        if let Some(connect) = current.downcast_ref::<ConnectError>() {
            return told(connect);
        }
        if let Some(own) = current.downcast_ref::<Error>() {
            return Error::InternalError(Some(own.to_string()));
        }
        cause = current.source();
    }
    Error::ConnectionTerminated
}

/// The error a guest sees that gets no connection.
fn told(error: &ConnectError) -> Error {
    match error {
        ConnectError::NoHost => Error::HttpRequestUriInvalid,
        ConnectError::Resolve { source, .. } => {
            Error::DnsError { rcode: Some(source.to_string()), info_code: None }
        }
        ConnectError::Unnamed(_) | ConnectError::Forbidden(_) => Error::DestinationIpProhibited,
        ConnectError::Connect { source, .. } => refused(source),
        ConnectError::TooMany(_) => Error::ConnectionLimitReached,
        ConnectError::Tls { .. } => Error::TlsProtocolError,
    }
}

fn refused(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            Error::DestinationIpUnroutable
        }
        _ => Error::ConnectionRefused,
    }
}

/// A response body that fails when nothing comes for too long.
struct Timed {
    body: WasiBody,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    fn new(body: WasiBody, patience: Duration) -> Self {
        Self { body, patience, deadline: None }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.deadline = None;
            return Poll::Ready(frame);
        }
        let patience = this.patience;
        ready!(this.deadline.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
