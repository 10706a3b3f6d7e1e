//! `wasi:sockets/ip-name-lookup`, and the hosts of outgoing requests: names as the pod is to see them.
//!
//! The interface that `wasmtime_wasi` brings asks the resolver of the whole process, which is the node's. It is replaced by
//! one that asks [`Names`] with what this pod is told about resolving.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wherry_runtime_api::DnsConfig;

use crate::guest::Guest;
use crate::network::PodNetwork;
use crate::remarks::Remarks;

/// The interface as `wasmtime_wasi` names it; guests of any 0.2 are linked to it.
const LOOKUP: &str = "wasi:sockets/ip-name-lookup@0.2.12";
const STREAM: &str = "resolve-address-stream";

/// Finds hosts by their names.
#[async_trait]
pub trait Names: Send + Sync {
    /// The addresses of a host, as a pod sees them that is told this about resolving. A name that is not there is an error.
    async fn addresses(&self, name: &str, dns: &DnsConfig) -> io::Result<Vec<IpAddr>>;

    /// The same, if it is known without asking anybody.
    fn known(&self, name: &str, dns: &DnsConfig) -> Option<Vec<IpAddr>> {
        let _ = (name, dns);
        None
    }
}

/// The node's own resolver.
pub(crate) struct NodeNames;

#[async_trait]
impl Names for NodeNames {
    async fn addresses(&self, name: &str, _: &DnsConfig) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// The names one pod knows.
#[derive(Clone)]
pub(crate) struct PodNames {
    pub(crate) names: Arc<dyn Names>,
    pub(crate) dns: Arc<DnsConfig>,
}

impl PodNames {
    /// The addresses of a host, which may be given as an address. Where a name may be reached, so may be what it leads to.
    pub(crate) async fn addresses(&self, host: &str, network: &PodNetwork) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![ip]);
        }
        if !is_localhost(host) && !network.egress.asks(host) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, NotNamed(host.to_owned())));
        }
        let addresses = self.names.addresses(host, &self.dns).await?;
        network.learn(host, &addresses);
        Ok(addresses)
    }

    /// The same without asking anybody, as far as that goes.
    pub(crate) fn known(&self, host: &str, network: &PodNetwork) -> Option<Vec<IpAddr>> {
        if let Ok(ip) = host.parse() {
            return Some(vec![ip]);
        }
        if !is_localhost(host) && !network.egress.asks(host) {
            return None;
        }
        let addresses = self.names.known(host, &self.dns)?;
        network.learn(host, &addresses);
        Some(addresses)
    }
}

/// A question that would reach others.
#[derive(Debug, thiserror::Error)]
#[error("the name {0:?} is not one that the annotation run.wherry.dev/egress of this Pod has")]
pub(crate) struct NotNamed(String);

fn is_localhost(host: &str) -> bool {
    host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

impl fmt::Debug for PodNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodNames").field("dns", &self.dns).finish_non_exhaustive()
    }
}

/// The addresses of one name, while and after they are looked up.
enum Addresses {
    Awaited(AbortOnDropJoinHandle<Found>),
    Here(Found),
}

type Found = Result<std::vec::IntoIter<IpAddr>, ErrorCode>;

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        if let Self::Awaited(found) = self {
            *self = Self::Here(found.await);
        }
    }
}

/// Replaces the interface in `linker`.
pub(crate) fn map_to_pod(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut lookup = linker.instance(LOOKUP)?;
    lookup.resource(STREAM, ResourceType::host::<Addresses>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<Addresses>::new_own(rep))?;
        Ok(())
    })?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, Guest>, (_, name): (Resource<Network>, String)| {
            let guest = store.data_mut();
            let (names, network) = (guest.environment.names.clone(), guest.environment.network.clone());
            let remarks = Arc::clone(&guest.environment.remarks);
            let found = Addresses::Awaited(spawn(find(names, network, name, remarks)));
            Ok((Ok::<_, ErrorCode>(guest.ctx().table.push(found)?),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, Guest>, (stream,): (Resource<Addresses>,)| {
            let addresses = store.data_mut().ctx().table.get_mut(&stream)?;
            Ok((next(addresses),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, Guest>, (stream,): (Resource<Addresses>,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().ctx().table, stream)?;
            Ok((pollable,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn find(names: PodNames, network: PodNetwork, name: String, remarks: Arc<Remarks>) -> Found {
    let found = ask(&names, &network, &remarks, &name).await;
    found.map(Vec::into_iter).map_err(|reason| match reason {
        Unanswered::Refused => ErrorCode::AccessDenied,
        Unanswered::Unknown => ErrorCode::NameUnresolvable,
    })
}

/// Why a guest's question has no answer.
pub(crate) enum Unanswered {
    /// It would reach others, which its Pod may not.
    Refused,
    /// Nobody knows it.
    Unknown,
}

/// Asks for a guest, and remarks what is refused.
pub(crate) async fn ask(
    names: &PodNames,
    network: &PodNetwork,
    remarks: &Remarks,
    name: &str,
) -> Result<Vec<IpAddr>, Unanswered> {
    names.addresses(name, network).await.map_err(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            remarks.refused(&error.to_string());
            return Unanswered::Refused;
        }
        tracing::debug!(name, %error, "a guest's name was not resolved");
        Unanswered::Unknown
    })
}

fn next(addresses: &mut Addresses) -> Result<Option<IpAddress>, ErrorCode> {
    if let Addresses::Awaited(found) = addresses {
        let Some(found) = futures::FutureExt::now_or_never(found) else { return Err(ErrorCode::WouldBlock) };
        *addresses = Addresses::Here(found);
    }
    match addresses {
        Addresses::Here(Ok(left)) => Ok(left.next().map(IpAddress::from)),
        Addresses::Here(Err(code)) => Err(*code),
        Addresses::Awaited(_) => Err(ErrorCode::WouldBlock),
    }
}
