//! How a request of a guest gets to whom it is for: handed over within the process, to an endpoint chosen here, or as the network leads it.
//!
//! Names, what the pod may reach and how many connections it may have count for all of them alike.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Request;
use http::uri::Scheme;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::WasiBody;

use crate::connector::{ConnectError, Connector};
use crate::handed;
use crate::paths::Paths;
use crate::serve::Service;
use crate::servers::Servers;

/// The ways of one container's requests.
#[derive(Clone)]
pub(crate) struct Ways {
    pub(crate) connector: Connector,
    pub(crate) paths: Arc<dyn Paths>,
    pub(crate) servers: Arc<Servers>,
}

/// One of them.
pub(crate) enum Way {
    /// To a server of this process, and what counts for the connection it saves.
    Handed(Arc<Service>, OwnedSemaphorePermit),
    /// By a connection to this endpoint of what was asked for, so that endpoints in and out of the process get their shares.
    Chosen(SocketAddr),
    /// As the network leads it, or refuses it.
    Network,
}

impl Ways {
    /// The way of this request.
    pub(crate) fn way(&self, request: &Request<WasiBody>) -> Result<Way, ConnectError> {
        let Some((from, to)) = self.ends(request) else { return Ok(Way::Network) };
        let Some(path) = self.paths.lead(from, to) else { return Ok(Way::Network) };
        if (!path.judged || path.endpoint.ip() == from)
            && let Some(service) = self.servers.at(path.endpoint)
        {
            let permit = self.connector.permit()?;
            self.paths.handed_over();
            return Ok(Way::Handed(service, permit));
        }
        Ok(if path.endpoint == to { Way::Network } else { Way::Chosen(path.endpoint) })
    }

    /// From where to where a request goes that could be handed over. Whatever forbids it is told by the network's way.
    fn ends(&self, request: &Request<WasiBody>) -> Option<(IpAddr, SocketAddr)> {
        let uri = request.uri();
        if uri.scheme() != Some(&Scheme::HTTP) || !handed::may_be(request) {
            return None;
        }
        let Connector { network, names, .. } = &self.connector;
        let host = uri.host()?.trim_matches(['[', ']']);
        // A connection would be to the first that accepts one.
        let ip = names.known(host, network)?.into_iter().next()?;
        let target = network.meant(SocketAddr::new(ip, uri.port_u16().unwrap_or(80)));
        network.reaches(target.ip()).then(|| network.ends(target))
    }
}
