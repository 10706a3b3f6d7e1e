//! One address of a Service: accepts, picks an endpoint, copies both ways.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::super::affinity::Clients;

/// How long an endpoint may take to accept before the next one is tried.
const CONNECT: Duration = Duration::from_secs(3);
/// Bytes buffered per direction of a connection.
const BUFFER: usize = 16 * 1024;
/// How long connections may go on when nobody listens any more.
const DRAIN: Duration = Duration::from_secs(2);

/// Where the connections to an address go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) backends: Vec<SocketAddr>,
    /// How long a client stays with its endpoint, in seconds.
    pub(crate) affinity: Option<u32>,
    /// Whom it is for; everybody, where nothing is said.
    pub(crate) sources: Option<Vec<IpNet>>,
}

impl Route {
    fn admits(&self, client: IpAddr) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.iter().any(|range| range.contains(&client)))
    }
}

/// The connections that listeners took.
#[derive(Default)]
pub(crate) struct Connections {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Connections {
    /// Ends those that do not end soon by themselves; nobody may listen any more.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            self.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

/// A listening address. Dropping it ends the listening, not the connections.
pub(crate) struct Listener {
    route: watch::Sender<Route>,
    _accepting: DropGuard,
}

impl Listener {
    /// Listens from when this returns.
    pub(crate) async fn bind(
        address: SocketAddr,
        route: Route,
        connections: &Connections,
    ) -> io::Result<Self> {
        let Connections { tasks, stop } = connections;
        let socket = TcpListener::bind(address).await?;
        let accepting = CancellationToken::new();
        let (sender, route) = watch::channel(route);
        let front =
            Front { socket, route, clients: Arc::default(), tasks: tasks.clone(), stop: stop.clone() };
        let ended = accepting.clone();
        tasks.spawn(async move { ended.run_until_cancelled(front.accept()).await });
        Ok(Self { route: sender, _accepting: accepting.drop_guard() })
    }

    /// Sends new connections elsewhere.
    pub(crate) fn change(&self, route: Route) {
        self.route.send_if_modified(|current| {
            let changed = *current != route;
            *current = route;
            changed
        });
    }
}

struct Front {
    socket: TcpListener,
    route: watch::Receiver<Route>,
    clients: Arc<Clients>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Front {
    async fn accept(self) {
        let mut turn = 0usize;
        loop {
            match self.socket.accept().await {
                Ok((client, from)) => {
                    turn = turn.wrapping_add(1);
                    let connection = Connection {
                        from: from.ip(),
                        route: self.route.borrow().clone(),
                        turn,
                        clients: self.clients.clone(),
                    };
                    let stop = self.stop.clone();
                    self.tasks.spawn(async move { stop.run_until_cancelled(connection.serve(client)).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to a Service");
                    // Mostly too many open files: give connections a moment to end.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

struct Connection {
    from: IpAddr,
    route: Route,
    /// Counts connections, so that endpoints take turns.
    turn: usize,
    clients: Arc<Clients>,
}

impl Connection {
    async fn serve(self, mut client: TcpStream) {
        let endpoint = if self.route.admits(self.from) { self.connect().await } else { None };
        let Some(mut endpoint) = endpoint else {
            // The client sees a reset rather than an orderly end without an answer.
            let _ = client.set_zero_linger();
            return;
        };
        // Small messages must not wait for each other's acknowledgement; that it cannot be set is no harm.
        let _ = (client.set_nodelay(true), endpoint.set_nodelay(true));
        let copied =
            tokio::io::copy_bidirectional_with_sizes(&mut client, &mut endpoint, BUFFER, BUFFER).await;
        if copied.is_err() {
            let _ = (client.set_zero_linger(), endpoint.set_zero_linger());
        }
    }

    /// A connection to the first endpoint that takes one, the client's own first.
    async fn connect(&self) -> Option<TcpStream> {
        let count = self.route.backends.len();
        let in_turn = (0..count).map(|at| self.route.backends[(self.turn + at) % count]);
        let remembered = self.remembered();
        for backend in remembered.into_iter().chain(in_turn.filter(|backend| Some(*backend) != remembered)) {
            match tokio::time::timeout(CONNECT, open(backend)).await {
                Ok(Ok(stream)) => {
                    self.remember(backend);
                    return Some(stream);
                }
                Ok(Err(error)) => tracing::debug!(%backend, %error, "an endpoint was passed over"),
                Err(_) => tracing::debug!(%backend, "an endpoint that does not answer was passed over"),
            }
        }
        None
    }

    fn remembered(&self) -> Option<SocketAddr> {
        self.route.affinity?;
        self.clients.endpoint(self.from, &self.route.backends)
    }

    fn remember(&self, backend: SocketAddr) {
        if let Some(seconds) = self.route.affinity {
            self.clients.remember(self.from, backend, seconds);
        }
    }
}

async fn open(backend: SocketAddr) -> io::Result<TcpStream> {
    let socket = if backend.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.connect(backend).await
}
