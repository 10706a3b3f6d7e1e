//! The built-in controller of Ingresses and Gateways: what is asked of this node from outside reaches the endpoints that they lead to.
//!
//! ```text
//! watches (Ingress, IngressClass, Service, EndpointSlice, Secret) -> World -> compile (pure) -> Served -> doors (wherry-ingress)
//!    (Gateway, HTTPRoute, ... while they are defined)                |   \--> gateway (pure) --^
//!                                                                     +----> status (pure, then written)
//! ```
//!
//! Requests go straight to the addresses of endpoints, so it works in either mode of the network; to wasm servers of this node without a connection
//! (`inside`). The doors listen from the start
//! of the node, but take nobody before everything has been listed once.
//!
//! It reads Secrets, which nodes may not, so it is a user of its own: the ServiceAccount `wherry-ingress` of kube-system.

mod changes;
mod compile;
#[cfg(test)]
mod compile_tests;
mod doors;
mod gateway;
mod inside;
mod model;
mod problems;
mod served;
mod status;
mod teller;
mod watch;
mod world;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kube::Client;
use rustls::crypto::CryptoProvider;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::Clock;
use wherry_ingress::{Certificate, Door, Limits, Metrics, Proxy};

use crate::events::{Events, Source};
use crate::in_process::InProcess;
use doors::Doors;
use inside::Guests;
use status::Address;
use teller::Teller;
use watch::Keeper;

/// What its events say of who tells them.
const CONTROLLER: &str = "wherry-ingress";

/// Where the controller listens; nowhere, it does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngressDoors {
    /// For HTTP.
    pub http: Option<SocketAddr>,
    /// For HTTPS.
    pub https: Option<SocketAddr>,
    /// Whether Gateways are served there, too.
    pub gateways: bool,
}

impl IngressDoors {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.http.is_some() || self.https.is_some()
    }
}

/// Why the controller cannot run.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// It cannot listen.
    #[error("cannot listen on {address} for Ingresses; choose another address with {flag}, or `off`")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What says so.
        flag: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// There is nothing to be shown to clients that ask for no name.
    #[error("cannot make a certificate for hosts that have none")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A controller that listens.
pub(crate) struct Ingress {
    http: Option<Door>,
    https: Option<Door>,
    addresses: Vec<Address>,
    proxy: Arc<Proxy>,
    /// What hosts without a certificate are shown.
    certificate: Certificate,
    gateways: bool,
    node_name: String,
}

impl Ingress {
    /// Listens; `node` is what is told of doors at all addresses.
    pub(crate) async fn open(
        wanted: IngressDoors,
        (node, name): (IpAddr, &str),
        in_process: InProcess,
    ) -> Result<Self, IngressError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = own_certificate(&provider).map_err(IngressError::Certificate)?;
        let http = open(wanted.http, "--ingress-http-listen", None).await?;
        let https = open(wanted.https, "--ingress-https-listen", Some(provider)).await?;
        let addresses = status::addresses(http.iter().chain(&https).map(Door::address), node);
        let proxy = Arc::new(Proxy::beside(Limits::default(), Arc::new(Guests(in_process))));
        let (gateways, node_name) = (wanted.gateways, name.to_owned());
        Ok(Self { http, https, addresses, proxy, certificate, gateways, node_name })
    }

    /// What it counts.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.proxy.metrics().clone()
    }

    /// Serves what the API's objects say until `stop`, then lets requests end.
    pub(crate) async fn run(self, client: Client, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let (writes, to_write) = channel::channel(Vec::new());
        let tasks = TaskTracker::new();
        let ended = stop.clone();
        let writer = status::write(client.clone(), to_write);
        tasks.spawn(async move { ended.run_until_cancelled(writer).await });
        let serving = (tasks.clone(), stop.clone());
        let doors = Doors::new((self.http, self.https), self.proxy.clone(), self.certificate, serving);
        let (addresses, gateways) = (self.addresses, self.gateways);
        let source = Source { component: CONTROLLER, host: self.node_name };
        let (events, write_events) = Events::new(client.clone(), source, clock.clone(), stop.clone());
        tasks.spawn(write_events);
        let keeper = Keeper { doors, writes, addresses, clock, gateways, teller: Teller::new(events) };
        stop.run_until_cancelled(Box::pin(keeper.run(client))).await;
        tasks.close();
        tasks.wait().await;
        self.proxy.close().await;
    }
}

async fn open(
    address: Option<SocketAddr>,
    flag: &'static str,
    tls: Option<Arc<CryptoProvider>>,
) -> Result<Option<Door>, IngressError> {
    let Some(address) = address else { return Ok(None) };
    let door = Door::bind(address, tls).await;
    door.map(Some).map_err(|source| IngressError::Listen { address, flag, source })
}

/// A certificate that nobody trusts, as every Ingress controller has one.
fn own_certificate(
    provider: &CryptoProvider,
) -> Result<Certificate, Box<dyn std::error::Error + Send + Sync>> {
    let made = rcgen::generate_simple_self_signed(["ingress.invalid".to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Ok(Certificate::from_pem(chain.as_bytes(), key.as_bytes(), provider)?)
}
