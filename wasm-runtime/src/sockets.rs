//! `wasi:sockets` seen from a pod without a network namespace.
//!
//! Servers bind `0.0.0.0` and clients bind nothing, both of which would be the node's addresses. Three methods of the
//! interface are therefore replaced by ones that name the pod's address and then do as before.

use std::net::SocketAddr;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::udp::{HostUdpSocket, UdpSocket};
use wasmtime_wasi::p2::{SocketError, SocketResult};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use crate::guest::Guest;

/// The interfaces as `wasmtime_wasi` names them; guests of any 0.2 are linked to them.
const TCP: &str = "wasi:sockets/tcp@0.2.12";
const UDP: &str = "wasi:sockets/udp@0.2.12";

type Answer = wasmtime::Result<(Result<(), ErrorCode>,)>;

/// Replaces the methods in `linker`.
pub(crate) fn map_to_pod(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut tcp = linker.instance(TCP)?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-bind",
        |mut store: StoreContextMut<'_, Guest>,
         (socket, network, address): (Resource<TcpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move { answer(tcp_bind(store.data_mut(), socket, network, address).await) })
        },
    )?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-connect",
        |mut store: StoreContextMut<'_, Guest>,
         (socket, network, address): (Resource<TcpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move { answer(tcp_connect(store.data_mut(), socket, network, address).await) })
        },
    )?;
    linker.instance(UDP)?.func_wrap_async(
        "[method]udp-socket.start-bind",
        |mut store: StoreContextMut<'_, Guest>,
         (socket, network, address): (Resource<UdpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move { answer(udp_bind(store.data_mut(), socket, network, address).await) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn answer(result: SocketResult<()>) -> Answer {
    match result {
        Ok(()) => Ok((Ok(()),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

async fn tcp_bind(
    guest: &mut Guest,
    socket: Resource<TcpSocket>,
    network: Resource<Network>,
    address: IpSocketAddress,
) -> SocketResult<()> {
    let address = guest.network.bound(SocketAddr::from(address));
    HostTcpSocket::start_bind(&mut guest.sockets(), socket, network, address.into()).await
}

async fn tcp_connect(
    guest: &mut Guest,
    socket: Resource<TcpSocket>,
    network: Resource<Network>,
    address: IpSocketAddress,
) -> SocketResult<()> {
    let target = guest.network.target(SocketAddr::from(address));
    if let Some(source) = guest.network.source(target.ip()) {
        let local = SocketAddr::new(source, 0).into();
        let mut view = guest.sockets();
        match HostTcpSocket::start_bind(&mut view, again(&socket), again(&network), local).await {
            Ok(()) => HostTcpSocket::finish_bind(&mut view, again(&socket))?,
            Err(error) => already_bound(error)?,
        }
    }
    HostTcpSocket::start_connect(&mut guest.sockets(), socket, network, target.into())
}

/// The guest chose the local address itself.
fn already_bound(error: SocketError) -> SocketResult<()> {
    match error.downcast() {
        Ok(ErrorCode::InvalidState) => Ok(()),
        Ok(code) => Err(code.into()),
        Err(trap) => Err(SocketError::trap(trap)),
    }
}

async fn udp_bind(
    guest: &mut Guest,
    socket: Resource<UdpSocket>,
    network: Resource<Network>,
    address: IpSocketAddress,
) -> SocketResult<()> {
    let address = guest.network.bound(SocketAddr::from(address));
    HostUdpSocket::start_bind(&mut guest.sockets(), socket, network, address.into()).await
}

/// A second borrow of the guest's handle.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}
