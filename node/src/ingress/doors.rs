//! Where requests come in: two doors that are open from the start, and ports that Gateways ask for.
//!
//! Gateways' port 80 for HTTP and 443 for HTTPS are these two doors, wherever they listen; other ports are listened on as they are
//! called, at the address of these doors.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use wherry_ingress::{Certificate, Door, Proxy, Site};

use super::served::Served;

/// See the module.
pub(super) struct Doors {
    proxy: Arc<Proxy>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// What hosts without a certificate are shown.
    certificate: Certificate,
    address: IpAddr,
    http: Option<Front>,
    https: Option<Front>,
    ports: BTreeMap<u16, Port>,
    failed: BTreeMap<u16, String>,
}

/// One of the two doors.
struct Front {
    /// Until it is served for the first time.
    door: Option<Door>,
    site: watch::Sender<Arc<Site>>,
}

/// A port that a Gateway asks for. Dropped, it drains.
struct Port {
    is_secure: bool,
    site: watch::Sender<Arc<Site>>,
    _stop: DropGuard,
}

impl Doors {
    /// Doors that take nobody until [`Self::show`]; there is one of them at least.
    pub(super) fn new(
        (http, https): (Option<Door>, Option<Door>),
        proxy: Arc<Proxy>,
        certificate: Certificate,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Self {
        let first = http.as_ref().or(https.as_ref());
        let address = first.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |door| door.address().ip());
        let front = |door| Front { door: Some(door), site: watch::Sender::new(Arc::default()) };
        let (http, https) = (http.map(front), https.map(front));
        let (ports, failed) = (BTreeMap::new(), BTreeMap::new());
        Self { proxy, tasks, stop, certificate, address, http, https, ports, failed }
    }

    /// The ports that could not be listened on, and why. Showing the same again tries again.
    pub(super) fn failed(&self) -> &BTreeMap<u16, String> {
        &self.failed
    }

    /// Serves what the Ingresses say and, at each port, what the Gateways say; nothing else.
    pub(super) async fn show(&mut self, ingresses: Served, mut ports: BTreeMap<u16, Served>) {
        let mut at = |port: u16, is_secure: bool, is_open: bool| {
            let is_it = ports.get(&port).is_some_and(|served| served.is_secure == is_secure) && is_open;
            if is_it { ports.remove(&port) } else { None }
        };
        let gateways = (at(80, false, self.http.is_some()), at(443, true, self.https.is_some()));
        // What both doors show where no Gateway has anything there.
        let mut alone = None;
        let mut sites = Vec::new();
        for (front, gateways) in [(&mut self.http, gateways.0), (&mut self.https, gateways.1)] {
            let Some(front) = front else { continue };
            let site = |served: Served| Arc::new(served.into_site(&self.certificate));
            let site = match gateways {
                Some(gateways) => site(ingresses.clone().and(gateways)),
                None => alone.get_or_insert_with(|| site(ingresses.clone())).clone(),
            };
            front.site.send_replace(site.clone());
            if let Some(door) = front.door.take() {
                let serving = door.serve(self.proxy.clone(), front.site.subscribe(), self.stop.clone());
                self.tasks.spawn(serving);
            }
            sites.push(site);
        }
        self.show_ports(ports).await;
        sites.extend(self.ports.values().map(|port| port.site.borrow().clone()));
        self.proxy.keep(&sites.iter().map(|site| &**site).collect::<Vec<_>>());
    }

    async fn show_ports(&mut self, wanted: BTreeMap<u16, Served>) {
        let is_wanted =
            |number: &u16, port: &Port| wanted.get(number).is_some_and(|it| it.is_secure == port.is_secure);
        self.ports.retain(|number, port| is_wanted(number, port));
        self.failed.clear();
        for (number, served) in wanted {
            let is_secure = served.is_secure;
            let site = Arc::new(served.into_site(&self.certificate));
            match self.ports.get(&number) {
                Some(port) => drop(port.site.send_replace(site)),
                None => match self.open(number, is_secure, site).await {
                    Ok(port) => drop(self.ports.insert(number, port)),
                    Err(error) => {
                        let address = SocketAddr::new(self.address, number);
                        self.failed.insert(number, format!("cannot listen on {address}: {error}"));
                    }
                },
            }
        }
    }

    async fn open(&self, port: u16, is_secure: bool, site: Arc<Site>) -> std::io::Result<Port> {
        let tls = is_secure.then(|| Arc::new(rustls::crypto::ring::default_provider()));
        let door = Door::bind(SocketAddr::new(self.address, port), tls).await?;
        let (site, sites) = watch::channel(site);
        let stop = self.stop.child_token();
        self.tasks.spawn(door.serve(self.proxy.clone(), sites, stop.clone()));
        Ok(Port { is_secure, site, _stop: stop.drop_guard() })
    }
}
