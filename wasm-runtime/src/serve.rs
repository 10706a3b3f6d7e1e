//! Serves a `wasi:http/proxy` component, or a `wasi:http/service` of WASI 0.3: HTTP/1 and cleartext HTTP/2, a fresh instance for every request unless the Pod
//! wants instances to be used again. While requests come, that of the next one is made when a response is sent.
//!
//! # Stopping
//! A server that is asked to stop goes on accepting until no request has come for [`Limits::quiet`] (but not longer than
//! ten times that): whoever sends requests learns of the stop through the cluster, a little later. Meanwhile
//! responses tell HTTP/1 clients to connect anew. Then the listener closes and requests in flight are finished.
//!
//! # Memory
//! The memory limit holds for all instances together. The one that exceeds it ends the server, as a process does whose
//! cgroup is full.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use jiff::fmt::rfc2822::DateTimePrinter;
use parking_lot::Mutex;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView as _};

use crate::acceptor::Opened;
use crate::at_once::{Ahead, Begin};
use crate::config::{Clock, Limits};
use crate::container::{Exit, Signals};
use crate::engine::Machine;
use crate::errands::Errands;
use crate::guest::{Environment, Role};
use crate::memory::LimitExceeded;
use crate::program::{Kind, Program, Server};
use crate::response::{Done, Exchange, Problem};
use crate::servers::Listed;
use crate::spares::{Instance, Place, Spares};
use crate::under_way::{Driven, Requests};
use crate::{at_once, core_dumps, p3, trap};

/// Connections the kernel holds until they are accepted.
const BACKLOG: u32 = 4096;
const DATE: DateTimePrinter = DateTimePrinter::new();

thread_local! {
    /// What the second that a thread last asked for is called.
    static DATED: RefCell<(i64, Option<HeaderValue>)> = const { RefCell::new((0, None)) };
}

/// To whoever waits for an instance's answer: its response, or its error code in words.
pub(crate) type Answer = oneshot::Sender<Result<Response<WasiBody>, String>>;

/// One server being served.
pub(crate) struct Service {
    pub(crate) machine: Arc<Machine>,
    pub(crate) program: Arc<Program>,
    pub(crate) environment: Arc<Environment>,
    pub(crate) limits: Limits,
    /// How long a request may take, with its response, if the Pod says so.
    pub(crate) request_timeout: Option<Duration>,
    /// Instances that wait for a request.
    pub(crate) spares: Arc<Spares>,
    /// The memory limit that was exceeded.
    pub(crate) exceeded: OnceLock<LimitExceeded>,
    pub(crate) signals: Signals,
    /// A permit for each request that may be served at a time.
    pub(crate) permits: Arc<Semaphore>,
    /// Connections and instances.
    pub(crate) tasks: TaskTracker,
    /// Connections are to end.
    pub(crate) closing: CancellationToken,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// When the last request began.
    pub(crate) last_request: Mutex<Instant>,
    /// The threads on which its instances run, whoever asks.
    pub(crate) threads: Handle,
    /// Who does what they leave when they have answered, if not these threads.
    pub(crate) errands: Option<Errands>,
    pub(crate) clock: Clock,
}

/// The ways in which requests come to a server, until they are dropped.
pub(crate) struct Entrances {
    pub(crate) doors: Vec<Opened>,
    pub(crate) listed: Listed,
}

/// Listens on all of them.
pub(crate) fn bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    addresses.iter().copied().map(bind).collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// How many requests fit into half the memory limit as they begin; the other half is for what they allocate.
pub(crate) fn concurrency(server: &Server, limits: &Limits, memory_limit: Option<u64>) -> usize {
    let fitting = memory_limit
        .and_then(|limit| (limit / 2).checked_div(server.initial_memory))
        .map_or(usize::MAX, |fitting| usize::try_from(fitting).unwrap_or(usize::MAX));
    fitting.clamp(1, limits.concurrency.max(1))
}

/// Ends the server as it was asked to.
pub(crate) async fn end(service: Arc<Service>, entrances: Entrances) -> Exit {
    tokio::select! {
        biased;
        () = service.signals.kill.cancelled() => {}
        () = quiet(&service) => {}
    }
    let Entrances { doors, listed } = entrances;
    // Who finds it no more in the process is refused by the address, as it is by then.
    drop(doors);
    drop(listed);
    service.closing.cancel();
    service.tasks.close();
    let exit = tokio::select! {
        biased;
        () = service.signals.kill.cancelled() => service.killed(),
        () = service.tasks.wait() => Exit::with_code(0),
    };
    service.tasks.wait().await;
    exit
}

/// Ends when the server was asked to stop and requests have ceased to come.
async fn quiet(service: &Service) {
    service.signals.stop.cancelled().await;
    let asked = Instant::now();
    let latest = asked + service.limits.quiet * 10;
    loop {
        let last = (*service.last_request.lock()).max(asked);
        let until = (last + service.limits.quiet).min(latest);
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

async fn connection(service: Arc<Service>, stream: TcpStream) {
    // Without it small responses wait for acknowledgements; with it missing they are only late.
    let _ = stream.set_nodelay(true);
    let (kill, closing) = (service.signals.kill.clone(), service.closing.clone());
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).pipeline_flush(true);
    builder.http2().timer(TokioTimer::new());
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let served = tokio::select! {
        biased;
        () = kill.cancelled() => return,
        served = connection.as_mut() => served,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                () = kill.cancelled() => return,
                served = connection => served,
            }
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "connection ended early");
    }
}

/// Whether the client would speak something else than HTTP from then on. Who would rather speak another version of it (`h2c`) is
/// served in this one.
fn wants_a_tunnel<B>(request: &Request<B>) -> bool {
    let wanted =
        request.headers().get_all(header::UPGRADE).into_iter().filter_map(|value| value.to_str().ok());
    let mut protocols = wanted.flat_map(|value| value.split(',')).map(str::trim);
    request.method() == Method::CONNECT
        || protocols.any(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

impl Service {
    /// Serves a connection.
    pub(crate) fn welcome(self: &Arc<Self>, stream: TcpStream) {
        self.tasks.spawn(connection(Arc::clone(self), stream));
    }

    /// By whom.
    fn killed(&self) -> Exit {
        self.exceeded.get().map_or_else(Exit::killed, |exceeded| Exit::out_of_memory(exceeded.to_string()))
    }

    /// The time as HTTP has it.
    pub(crate) fn date(&self) -> Option<HeaderValue> {
        let now = (self.clock)();
        DATED.with_borrow_mut(|(second, date)| {
            if date.is_none() || *second != now.as_second() {
                let text = DATE.timestamp_to_rfc9110_string(&now).ok();
                (*second, *date) = (now.as_second(), text.and_then(|text| HeaderValue::try_from(text).ok()));
            }
            date.clone()
        })
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<WasiBody> {
        *self.last_request.lock() = Instant::now();
        let http1 = request.version() < Version::HTTP_2;
        let mut response = self.respond(request, Begin::Apart).await.unwrap_or_else(Problem::response);
        if http1 && self.signals.stop.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Has an instance answer.
    pub(crate) async fn respond<B>(
        self: &Arc<Self>,
        request: Request<B>,
        begin: Begin,
    ) -> Result<Response<WasiBody>, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
    {
        if wants_a_tunnel(&request) {
            return Err(Problem::NotHttp);
        }
        let place = timeout(self.limits.queue_timeout, self.admit()).await.map_err(|_| Problem::Busy)??;
        let (sender, mut receiver) = oneshot::channel();
        let began = Instant::now();
        let exchange = Exchange::new(begin == Begin::AtOnce && at_once::is_possible(&self.threads));
        let done = Done(Arc::clone(&exchange));
        let attended = Arc::clone(self).attend(request, sender, place, Arc::clone(&exchange));
        let left = if exchange.gives_way {
            at_once::run(self.tasks.track_future(attended).boxed(), &self.threads)
        } else {
            self.tasks.spawn_on(attended, &self.threads);
            None
        };
        let is_here = !receiver.is_empty();
        // Whatever else is left of it goes on apart.
        let used_again = match (left, &self.errands) {
            (Some(left), _) if is_here && self.spares.are_used_again() => Some(left),
            (Some(left), Some(errands)) if is_here => {
                errands.take(left);
                None
            }
            _ => None,
        };
        let patience = self.request_timeout.unwrap_or(self.limits.response_timeout);
        let response = if is_here {
            receiver.try_recv().ok()
        } else {
            timeout(patience, receiver).await.map_err(|_| Problem::TooSlow)?.ok()
        };
        match response {
            Some(Ok(response)) => {
                let response = response.map(|body| done.tie(body));
                let Some(instance) = used_again else { return Ok(response) };
                let response = response.map(Ahead::of);
                if response.body().is_whole() {
                    // It waits for its next request before there can be one.
                    instance.go_on();
                }
                Ok(response.map(Ahead::boxed))
            }
            Some(Err(code)) => {
                self.environment.log.say(&format!("the component answered a request with {code}"));
                Err(Problem::Failed)
            }
            None if began.elapsed() >= patience => Err(Problem::TooSlow),
            None => {
                // `attend` logs failures.
                if !exchange.failed() {
                    self.environment.log.say("the component ended without a response");
                }
                Err(Problem::Failed)
            }
        }
    }

    async fn admit(&self) -> Result<(OwnedSemaphorePermit, Place), Problem> {
        let own = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Problem::Busy)?;
        if let Some(spare) = self.spares.take() {
            return Ok((own, Place::Taken(spare)));
        }
        let slots = Arc::clone(&self.machine.slots).acquire_many_owned(self.program.places);
        let slot = slots.await.map_err(|_| Problem::Busy)?;
        Ok((own, Place::Free(slot)))
    }

    /// Runs one instance to its end.
    async fn attend<B>(
        self: Arc<Self>,
        request: Request<B>,
        sender: Answer,
        (_permit, place): (OwnedSemaphorePermit, Place),
        exchange: Arc<Exchange>,
    ) where
        B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
    {
        let requests = Requests::default();
        let handled = self.handle(request, sender, place, (&exchange, &requests));
        let instance = self.machine.ticker.attend(self.environment.processor.count(handled));
        let instance = Driven::new(instance, requests.clone());
        let outcome = tokio::select! {
            biased;
            outcome = instance => outcome,
            () = self.killed_at(&exchange) => return,
            took = self.too_long(&exchange) => {
                Err(wasmtime::Error::msg(format!("interrupted: it took longer than {took:?}")))
            }
            () = async { exchange.done.cancelled().await; sleep(self.limits.linger).await } => {
                Err(wasmtime::Error::msg("interrupted: the response had ended or the client had left"))
            }
        };
        match outcome {
            Ok(()) => {}
            Err(error) => match error.downcast_ref::<LimitExceeded>() {
                Some(exceeded) => {
                    self.environment.log.say(&format!("a request failed: {exceeded}"));
                    let _ = self.exceeded.set(*exceeded);
                    self.signals.kill();
                }
                None => self.environment.log.say(&format!("a request failed: {}", trap::explain(&error))),
            },
        }
    }

    /// Ends when the container is killed; the response is told before its instance is dropped, which ends it.
    async fn killed_at(&self, exchange: &Exchange) {
        self.signals.kill.cancelled().await;
        exchange.fail();
    }

    /// Ends when a request has taken as long as it may, which the response is told alike.
    async fn too_long(&self, exchange: &Exchange) -> Duration {
        match self.request_timeout {
            Some(limit) => {
                sleep(limit).await;
                exchange.fail();
                limit
            }
            None => std::future::pending().await,
        }
    }

    async fn handle<B>(
        &self,
        request: Request<B>,
        sender: Answer,
        place: Place,
        (exchange, requests): (&Exchange, &Requests),
    ) -> wasmtime::Result<()>
    where
        B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
    {
        // Told before the store is dropped, which ends the body.
        let mut instance = self.instance(place).await.inspect_err(|_| exchange.fail())?;
        instance.store.data_mut().requests = Some(requests.clone());
        let called = self.call(&mut instance, request, sender, exchange).await;
        instance.store.data_mut().requests = None;
        if let Err(error) = called {
            exchange.fail();
            let (store, place) = instance.parts();
            return Err(core_dumps::end(self.environment.core_dumps.as_ref(), store, place, error).await);
        }
        if exchange.gives_way {
            yield_now().await;
        }
        if self.spares.answers_again(&instance) {
            // A body that the component left unfinished ends only with the instance.
            let ended = timeout(self.limits.linger, exchange.done.cancelled()).await.is_ok();
            if ended && let Some(leave) = self.spares.leave() {
                self.spares.keep(instance, leave);
            }
            return Ok(());
        }
        drop(instance);
        self.make_ahead().await;
        Ok(())
    }

    /// Makes the instance for a request to come, if one may wait. Nobody depends on it: who needs one makes one, and fails as this
    /// may fail.
    async fn make_ahead(&self) {
        if self.signals.stop.is_cancelled() {
            return;
        }
        let Some(leave) = self.spares.leave_ahead() else { return };
        let slot = Arc::clone(&self.machine.slots).try_acquire_many_owned(self.program.places);
        let Ok(slot) = slot else { return };
        match self.instance(Place::Free(slot)).await {
            Ok(instance) => self.spares.keep(instance, leave),
            Err(error) => tracing::debug!(%error, "no instance was made ahead"),
        }
    }

    /// The instance that waited, or a new one.
    async fn instance(&self, place: Place) -> wasmtime::Result<Box<Instance>> {
        let slot = match place {
            Place::Taken(instance) => return Ok(instance),
            Place::Free(slot) => slot,
        };
        let Kind::Server(server) = &self.program.kind else {
            return Err(wasmtime::Error::msg("a command is no server"));
        };
        let mut store = self.environment.store(server.engine(), Role::Program { stdin: None })?;
        match server.proxy.instantiate_async(&mut store).await {
            Ok(proxy) => Ok(Box::new(Instance::new(store, proxy, slot))),
            Err(error) => {
                Err(core_dumps::end(self.environment.core_dumps.as_ref(), store, slot, error).await)
            }
        }
    }

    async fn call<B>(
        &self,
        instance: &mut Instance,
        mut request: Request<B>,
        sender: Answer,
        exchange: &Exchange,
    ) -> wasmtime::Result<()>
    where
        B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
    {
        instance.answered += 1;
        let again = self.spares.answers_again(instance);
        let Instance { store, proxy, .. } = instance;
        if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
            let host = HeaderValue::try_from(self.address.to_string())?;
            request.headers_mut().insert(header::HOST, host);
        }
        let proxy = match proxy {
            Proxy::P2(proxy) => proxy,
            Proxy::P3(service) => {
                let ended = async {
                    if again {
                        let _ = timeout(self.limits.linger, exchange.done.cancelled()).await;
                    }
                };
                return p3::handle(store, service, request, sender, ended).await;
            }
        };
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam_from_callback(move |answer| {
            // Whoever asked may be gone.
            let _ = sender.send(answer.map_err(|code| format!("{code:?}")));
        })?;
        proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
    }
}
