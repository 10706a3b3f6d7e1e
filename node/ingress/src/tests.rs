//! The proxy between clients and endpoints on loopback: real sockets, and bytes as they are on the wire.

mod attacks;
mod backends;
mod clients;
mod inside;
mod passing;
mod rules;

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::{
    Action, Backend, Certificates, Conditions, Door, Forward, HeaderEdits, Host, Limits, PathMatch, Protocol,
    Proxy, Rule, Site, Table,
};

/// A proxy that serves on loopback.
struct Served {
    address: SocketAddr,
    proxy: Arc<Proxy>,
    site: watch::Sender<Arc<Site>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl Served {
    async fn start(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::limited(Limits::default(), rules).await
    }

    async fn limited(limits: Limits, rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::open(limits, Site { table: Table::new(rules), certificates: Certificates::default() }, false)
            .await
    }

    async fn open(limits: Limits, site: Site, is_secure: bool) -> Self {
        Self::by(Proxy::new(limits), site, is_secure).await
    }

    async fn by(proxy: Proxy, site: Site, is_secure: bool) -> Self {
        let tls = is_secure.then(|| Arc::new(rustls::crypto::ring::default_provider()));
        let door = Door::bind(([127, 0, 0, 1], 0).into(), tls).await.unwrap();
        let (address, proxy) = (door.address(), Arc::new(proxy));
        let (site, sites) = watch::channel(Arc::new(site));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(door.serve(proxy.clone(), sites, stop.clone()));
        Self { address, proxy, site, tasks, _stop: stop.clone().drop_guard(), stop }
    }

    /// Exchanges the rules, as whoever follows objects does.
    fn change(&self, rules: impl IntoIterator<Item = Rule>) {
        let site = Arc::new(Site { table: Table::new(rules), certificates: Certificates::default() });
        self.site.send_replace(site.clone());
        self.proxy.keep(&[&site]);
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.proxy.close().await;
    }
}

/// All requests go to these endpoints.
fn all_to(endpoints: &[SocketAddr]) -> Rule {
    all_by(Protocol::Http1, endpoints)
}

fn all_by(protocol: Protocol, endpoints: &[SocketAddr]) -> Rule {
    let backend = backend("backend", protocol, endpoints);
    Rule {
        name: "rule".into(),
        host: Host::Any,
        path: PathMatch::Prefix("/".to_owned()),
        conditions: Conditions::default(),
        action: Action::Forward(Arc::new(Forward::to(backend))),
    }
}

fn backend(name: &str, protocol: Protocol, endpoints: &[SocketAddr]) -> Arc<Backend> {
    let nowhere = StatusCode::SERVICE_UNAVAILABLE;
    let (request, response) = (HeaderEdits::default(), HeaderEdits::default());
    Arc::new(Backend {
        name: name.into(),
        endpoints: endpoints.to_vec(),
        protocol,
        nowhere,
        request,
        response,
    })
}
