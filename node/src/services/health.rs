//! Health checks of load balancers: at the `healthCheckNodePort` of a Service every node tells whether a packet for the Service
//! that comes to it finds an endpoint here, in the words of kube-proxy.
//!
//! The ports are of the range of NodePorts, given out by the API server to one Service each.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::model::ObjectKey;

/// What is told of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// At which port of the node.
    pub(super) port: u16,
    /// How many ready endpoints it has here.
    pub(super) endpoints: usize,
}

/// The ports that are answered at.
pub(super) struct HealthChecks {
    address: IpAddr,
    wanted: BTreeMap<ObjectKey, Health>,
    open: BTreeMap<ObjectKey, Answering>,
    /// Whether a port could not be opened.
    failed: bool,
    tasks: TaskTracker,
}

/// An open port. Dropping it closes it.
struct Answering {
    port: u16,
    endpoints: watch::Sender<usize>,
    _stop: DropGuard,
}

impl HealthChecks {
    /// Answers at this address.
    pub(super) fn new(address: IpAddr) -> Self {
        let (wanted, open) = (BTreeMap::new(), BTreeMap::new());
        Self { address, wanted, open, failed: false, tasks: TaskTracker::new() }
    }

    /// Tells this of these Services from now on; nothing of those with `None`. What fails is logged, and tried again by the next
    /// call.
    pub(super) async fn apply(&mut self, changes: BTreeMap<ObjectKey, Option<Health>>) {
        if changes.is_empty() && !self.failed {
            return;
        }
        for (key, health) in changes {
            match health {
                Some(health) => drop(self.wanted.insert(key, health)),
                None => drop(self.wanted.remove(&key)),
            }
        }
        let wanted = &self.wanted;
        self.open.retain(|key, open| wanted.get(key).is_some_and(|health| health.port == open.port));
        let told_before = std::mem::take(&mut self.failed);
        for (key, health) in &self.wanted {
            if let Some(open) = self.open.get(key) {
                open.endpoints.send_replace(health.endpoints);
                continue;
            }
            match self.answer(key, *health).await {
                Ok(open) => drop(self.open.insert(key.clone(), open)),
                Err(error) => {
                    if !told_before {
                        tracing::warn!(service = %key, port = health.port, %error, "cannot open a health check port; trying until that works");
                    }
                    self.failed = true;
                }
            }
        }
    }

    /// Whether something failed that another call of `apply` may repair.
    pub(super) fn wants_retry(&self) -> bool {
        self.failed
    }

    async fn answer(&self, key: &ObjectKey, health: Health) -> io::Result<Answering> {
        let listener = TcpListener::bind(SocketAddr::new(self.address, health.port)).await?;
        let (endpoints, count) = watch::channel(health.endpoints);
        let router = Router::new().fallback(any(told)).with_state((key.clone(), count));
        let stop = CancellationToken::new();
        self.tasks.spawn(serve(listener, router, self.tasks.clone(), stop.clone()));
        Ok(Answering { port: health.port, endpoints, _stop: stop.drop_guard() })
    }

    /// Closes all ports.
    pub(super) async fn close(mut self) {
        self.open.clear();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Serves until `stop`, which ends connections, too.
async fn serve(listener: TcpListener, router: Router, tasks: TaskTracker, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(async move { stop.run_until_cancelled(connection(stream, router)).await });
            }
            // Mostly too many open files: give connections a moment to end.
            Err(error) => {
                tracing::debug!(%error, "cannot accept a health check");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let served = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(error = &*error, "a health check ended badly");
    }
}

async fn told(State((key, count)): State<(ObjectKey, watch::Receiver<usize>)>) -> Response {
    let endpoints = *count.borrow();
    let status = if endpoints > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "service": { "namespace": key.namespace, "name": key.name },
        "localEndpoints": endpoints,
        "serviceProxyHealthy": true,
    });
    let headers = [
        (header::X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff".to_owned()),
        ("x-load-balancing-endpoint-weight", endpoints.to_string()),
    ];
    (status, headers, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    async fn ask(port: u16) -> String {
        let ask = move || -> io::Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::new(127, 200, 77, 1), port))?;
            stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        tokio::task::spawn_blocking(ask).await.unwrap().unwrap_or_else(|error| error.to_string())
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn a_node_tells_whether_it_has_endpoints() {
        let mut checks = HealthChecks::new(Ipv4Addr::new(127, 200, 77, 1).into());
        let health = |port, endpoints| [(key("web"), Some(Health { port, endpoints }))].into();
        checks.apply(health(30501, 2)).await;
        let answer = ask(30501).await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert!(answer.contains("x-load-balancing-endpoint-weight: 2"), "{answer}");
        assert!(answer.contains(r#""localEndpoints":2"#) && answer.contains(r#""name":"web""#), "{answer}");
        checks.apply(health(30501, 0)).await;
        assert!(ask(30501).await.starts_with("HTTP/1.0 503"));

        // Another port instead, which somebody else still has.
        let occupied = TcpListener::bind((Ipv4Addr::new(127, 200, 77, 1), 30502)).await.unwrap();
        checks.apply(health(30502, 1)).await;
        assert!(checks.wants_retry());
        drop(occupied);
        checks.apply(BTreeMap::new()).await;
        assert!(!checks.wants_retry());
        assert!(ask(30502).await.starts_with("HTTP/1.0 200"));
        checks.apply([(key("web"), None)].into()).await;
        checks.close().await;
        assert!(ask(30502).await.contains("refused"));
    }
}
